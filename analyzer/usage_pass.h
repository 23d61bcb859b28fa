// Gathers usage curves from rows that somebody else reads: in the pass that several questions
// share, or alone. Private to the analyzer. Owned by one thread; refers to the sums it was given.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "host_sums.h"
#include "lifetimes.h"
#include "process_peaks.h"

namespace tidemark::analyzer {

// What happened in one series, in the order in which it was read.
struct UsageChanges {
  struct Change {
    int64_t time_ns;
    uint64_t bytes;
  };
  std::vector<Change> begins;
  std::vector<Change> ends;
  uint64_t allocations = 0;
  uint64_t allocated_bytes = 0;
};

class UsagePass {
 public:
  enum class Points : uint8_t { kKept, kPeakAlone };
  UsagePass(const trace::Reader& reader, const HostSums& sums, Points points = Points::kKept);

  // All rows of the trace, in order of id.
  void add(std::span<const trace::Allocation> batch);
  // As usage_curves() or usage_peaks() gives them; once.
  [[nodiscard]] Result<std::vector<UsageCurve>> take();
  // What process_peaks() would say of the heap, where the curves (of take()) tell: the whole heap
  // was one process's. Absent: they do not.
  std::optional<ProcessPeaks> heap_peaks(const std::vector<UsageCurve>& curves) const;

 private:
  const HostSums& sums_;
  Lifetimes lifetimes_;
  bool only_sums_;
  Points points_;
  std::map<Series, UsageChanges> all_;
  Series last_series_;
  UsageChanges* last_ = nullptr;  // runs of one series are long: saves most of the look-ups
  trace::ProcessId heap_process_{};
  bool heap_rows_ = false;
  bool heap_processes_ = false;  // several
  bool heap_elsewhere_ = false;  // not in the host's memory: a damaged trace
};

}  // namespace tidemark::analyzer
