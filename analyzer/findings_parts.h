// The families of findings, a file each, and what they share. Private to the analyzer. Pure.
#pragma once

#include <map>
#include <optional>

#include "code_line.h"
#include "heap_churn.h"
#include "peak_without.h"
#include "tidemark/analyzer/findings.h"
#include "tidemark/analyzer/uses.h"

namespace tidemark::analyzer {

// What the families look at.
struct Search {
  const trace::Reader& reader;
  const Structure& structure;
  const std::vector<UsageCurve>& curves;
  std::vector<trace::RecordingWindow> windows;  // of the device's work; empty: all of it was kept
  bool windowed = false;
  bool pool_inside(const Series& series) const;  // a framework's pool lies in the driver's blocks
  // Whether all that the device did in this time was kept.
  bool seen(int64_t begin_ns, int64_t end_ns) const;
};

// Blocks of one line that are wasted in the same way.
struct Group {
  CodeLine line;
  uint64_t bytes = 0;
  uint64_t count = 0;
  double byte_seconds = 0;
  std::vector<Absence> absences;   // what would not be there
  std::optional<Example> largest;  // by bytes x the time for which it lay idle

  // What lasts until the recording ends, or longer, is absent for good.
  void add(const trace::Allocation& block, int64_t begin_ns, int64_t end_ns,
           int64_t recording_end_ns);

 private:
  double largest_byte_seconds_ = 0;
};

// Where the finding is said to be.
void set_place(Finding& finding, const CodeLine& line);

// A finding of this group, its peak replayed.
Finding finding_of(Pattern pattern, const UsageCurve& curve, const Group& group);
// Whether mending it lowers the peak enough to be worth a reader's time.
bool lowers_peak(const Finding& finding);

// By what used each block: only device memory.
Result<void> find_unneeded(const Search& search, const UsageCurve& curve, const UseIndex& uses,
                           std::vector<Finding>& findings);
// What the program itself did not free.
Result<void> find_leaks(const Search& search, const UsageCurve& curve,
                        std::vector<Finding>& findings);
// From iteration to iteration. Absent: there are not enough to compare; 0: it does not rise with
// each.
std::optional<uint64_t> growth_of(const Structure& structure, const UsageCurve& curve);
Result<void> find_growth(const Search& search, const UsageCurve& curve,
                         std::vector<Finding>& findings);
// Of the pool's own device.
Result<void> find_reserved_unused(const Search& search, const UsageCurve& curve,
                                  std::vector<Finding>& findings);
// Host blocks that live only until the next.
Result<void> find_churn(const Search& search, const HeapChurn& churn,
                        std::vector<Finding>& findings);
// Copies between host and device, and what the device waits for.
Result<void> find_slow_copies(const Search& search, std::vector<Finding>& findings);

// The same bytes copied again, to the host and back, or into two blocks.
Result<void> find_same_bytes(const Search& search, std::vector<Finding>& findings);
// find_waste(), of what the pass over all rows has counted already.
Result<std::vector<Finding>> find_waste(const trace::Reader& reader, const Structure& structure,
                                        const std::vector<UsageCurve>& curves,
                                        const HeapChurn& churn);
// As find_waste() gives them.
void sort_findings(std::vector<Finding>& findings);

// What is less than this of a peak, or of the time of the work, is not worth a reader's time.
inline constexpr int64_t kLeastShare = 100;
inline constexpr double kNsPerSecond = 1e9;

// Times of a trace are untrusted: a negative duration counts as none, the longest is the largest.
inline int64_t between(int64_t begin_ns, int64_t end_ns) {
  int64_t duration = 0;
  if (end_ns <= begin_ns) return 0;
  const bool too_long = __builtin_sub_overflow(end_ns, begin_ns, &duration);
  return too_long ? trace::kNever : duration;
}

}  // namespace tidemark::analyzer
