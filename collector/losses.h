// Named counters of everything that a recording is missing. One thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/trace/writer.h"

namespace tidemark::collector {

class Losses {
 public:
  void add(std::string_view name, trace::Severity severity, uint64_t count = 1);
  // Writes what was added since the last call, so that a killed recording has nearly all of it.
  void write_to(trace::Writer& writer);
  [[nodiscard]] uint64_t count(std::string_view name) const;
  [[nodiscard]] std::vector<trace::Loss> all() const;

 private:
  struct Counter {
    trace::Severity severity{};
    uint64_t count = 0;
    uint64_t written = 0;
  };
  std::map<std::string, Counter, std::less<>> counters_;
};

}  // namespace tidemark::collector
