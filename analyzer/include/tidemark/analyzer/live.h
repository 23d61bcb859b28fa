// What was live at one moment, by allocating call stack. Pure; see usage.h for the rules of series.
#pragma once

#include <vector>

#include "tidemark/analyzer/usage.h"

namespace tidemark::analyzer {

struct LiveGroup {
  trace::StackId stack{};
  trace::StringId api{};
  uint64_t bytes = 0;
  uint64_t count = 0;
};

struct LiveSet {
  Series series;
  int64_t time_ns = 0;
  uint64_t bytes = 0;  // equals bytes_at(curve, time_ns)
  uint64_t count = 0;
  // False: only the sum is known (of condensed detail groups are kept for the peaks alone).
  bool groups_known = true;
  std::vector<LiveGroup> groups;  // most bytes first; ties by count, then stack id
};

// Lifetimes with alloc_ns <= time_ns < free_ns.
[[nodiscard]] Result<LiveSet> live_at(const trace::Reader& reader, const Series& series,
                                      int64_t time_ns);

// What was never freed although its process ended by itself (exit 0 or not, but not killed), by
// stack.
[[nodiscard]] Result<LiveSet> leaks(const trace::Reader& reader, const Series& series);

}  // namespace tidemark::analyzer
