// Memory that is wasted: what, where, why one may say so, how to mend it, and what the peak would
// be then, by replay of the usage curve with other lifetimes. Pure: reads through trace::Reader.
// Any thread that owns the Reader.
//
// Times: ns since the recording began. Sizes: bytes.
#pragma once

#include <string>
#include <vector>

#include "tidemark/analyzer/categories.h"

namespace tidemark::analyzer {

enum class Pattern : uint8_t {
  kUnused,            // nothing ever used it
  kDeadWrite,         // written from the host or set, read by nothing
  kEarlyAllocation,   // first used after the peak
  kLateDeallocation,  // last used before the peak
  kGrowth,            // more of it after every iteration
  kReservedUnused,    // held by the framework's pool beyond what it handed out
};
const char* to_string(Pattern pattern);  // unused dead_write early_allocation …: names in JSON

struct Finding {
  Pattern pattern{};
  Series series;
  uint64_t bytes = 0;       // at the peak; of kGrowth: each iteration
  uint64_t count = 0;       // blocks
  double byte_seconds = 0;  // bytes x the time for which they lay idle
  std::string where;        // "train.py:63 train"; "": of no one line
  std::string file;
  int32_t line = 0;
  std::string evidence;
  std::string mend;
  int64_t peak_bytes = 0;          // as recorded
  int64_t peak_without_bytes = 0;  // by replay
};

// Most bytes x time first. What kernels use is asked only of traces whose kernels tell.
[[nodiscard]] Result<std::vector<Finding>> find_waste(const trace::Reader& reader,
                                                      const Structure& structure,
                                                      const std::vector<UsageCurve>& curves);

}  // namespace tidemark::analyzer
