// The functions that an ELF file exports, by name and by address (as in the file). Pure once read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/trace/result.h"

namespace tidemark::collector {

struct ExportedFunction {
  uint64_t start = 0;
  uint64_t end = 0;
  std::string name;
};

class ExportedFunctions {
 public:
  [[nodiscard]] static Result<ExportedFunctions> read(const std::string& path);
  explicit ExportedFunctions(std::vector<ExportedFunction> functions, uint64_t base = 0);

  // Null when it is not exported.
  [[nodiscard]] const ExportedFunction* find(std::string_view name) const;
  // From the end of the function before `name` to the start of the one after it: whatever the file
  // keeps to itself around it is in there. False when it is not exported.
  bool surroundings(std::string_view name, uint64_t& start, uint64_t& end) const;
  // Of the first loaded byte, rounded to its page.
  [[nodiscard]] uint64_t base() const { return base_; }

 private:
  std::vector<ExportedFunction> functions_;  // ascending by start
  uint64_t base_;
};

// Whether the file exports a function of that name; false also when it cannot be read.
bool exports_function(const std::string& path, std::string_view name);

}  // namespace tidemark::collector
