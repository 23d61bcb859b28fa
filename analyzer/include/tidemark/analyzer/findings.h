// What is wasted: what, where, why one may say so, how to mend it, and what the peak would be then,
// by replay of the usage curve (or of the allocator) with other lifetimes. Pure: reads through
// trace::Reader. Any thread that owns the Reader.
//
// A finding of memory is said only where mending it lowers the peak by a hundredth, or where it
// grows; one of time, where a hundredth of the work's time is to be won.
//
// Times: ns since the recording began, and seconds. Sizes: bytes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/categories.h"
#include "tidemark/analyzer/process_memory.h"

namespace tidemark::analyzer {

enum class Pattern : uint8_t {
  kUnused,            // nothing ever used it
  kDeadWrite,         // written from the host or set, read by nothing
  kEarlyAllocation,   // first used after the peak
  kLateDeallocation,  // last used before the peak
  kTemporaryIdle,     // used before the peak and after it, and not for long in between
  kLeak,              // the program ended and had not freed it
  kGrowth,            // more of it after every iteration
  kReservedUnused,    // held by the framework's pool beyond what it handed out
  kDuplicate,         // as large as another, filled with the same, alive together
  kHostSpare,         // of the heap: freed, and kept from the system by malloc
  kUnexplained,       // resident, and no recorded call asked for it
  kChurn,             // host blocks that were freed before the next was allocated
  kPageableCopies,    // copies that pinned memory would make faster
  kSmallCopies,       // many, each too small for the link
  kSerialCopies,      // from the host while no kernel ran
  kInputWait,         // the device was idle until the next copy from the host came
  kRepeatedCopies,    // of the same bytes of the host's to the device, again and again
  kRoundTrips,        // to the host, and back to the device
};
inline constexpr size_t kPatterns = static_cast<size_t>(Pattern::kRoundTrips) + 1;
const char* to_string(Pattern pattern);     // unused dead_write early_allocation …: names in JSON
std::string pattern_text(Pattern pattern);  // "dead write": for people

// The one block or copy that weighs most in a finding: where to look first.
struct Example {
  trace::AllocationId block{};  // 0: it is of no one block
  int64_t begin_ns = 0;         // from when to when it lay idle, was copied, or was all held
  int64_t end_ns = 0;           // kNever: until the end
  bool operator==(const Example&) const = default;
};

struct Finding {
  Pattern pattern{};
  Series series;            // of copies: the device's memory
  uint64_t bytes = 0;       // at the peak; of kGrowth: each iteration; of copies: copied
  uint64_t count = 0;       // blocks, or copies
  double byte_seconds = 0;  // bytes x the time for which they lay idle
  double seconds = 0;       // of time to be won; 0: it is about memory alone
  std::string where;        // "train.py:63 train"; "": of no one line
  std::string file;
  int32_t line = 0;
  std::string evidence;
  std::string mend;
  int64_t peak_bytes = 0;          // as recorded; 0: it is about time alone
  int64_t peak_without_bytes = 0;  // by replay
  std::optional<Example> example;  // absent: no single one stands for it
};

// Those of memory first, most bytes x time first; then those of time, most seconds first. What
// kernels use is asked only of traces whose kernels tell.
[[nodiscard]] Result<std::vector<Finding>> find_waste(const trace::Reader& reader,
                                                      const Structure& structure,
                                                      const std::vector<UsageCurve>& curves);
// Adds what processes held resident that no block explains. `uses`: as process_memory() gives them.
[[nodiscard]] Result<void> find_resident_waste(const trace::Reader& reader,
                                               const std::vector<ProcessMemoryUse>& uses,
                                               std::vector<Finding>& findings);

}  // namespace tidemark::analyzer
