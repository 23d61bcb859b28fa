// The code objects behind Python words of all processes, as PythonCode records told them.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "tidemark/trace/types.h"
#include "tidemark/wire/records.h"

namespace tidemark::collector {

struct PythonCode {
  std::string file;
  std::string function;
  std::string lines;  // raw line table
  int32_t first_line = 0;
  uint32_t line_format = 0;
};

// A key means the same in every process: it is a hash of what it stands for.
class PythonCodes {
 public:
  void add(const wire::PythonCode& record);  // checked by check_record()
  // What a Python word stands for. A code object that never came gives a frame of which nothing but
  // its kind is known.
  [[nodiscard]] trace::Frame frame(uint64_t word) const;
  [[nodiscard]] bool knows(uint64_t word) const { return codes_.contains(wire::python_key(word)); }

 private:
  std::unordered_map<uint64_t, PythonCode> codes_;
};

}  // namespace tidemark::collector
