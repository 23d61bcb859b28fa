// What several parts of a report ask of every row of a trace, gathered in one pass over them: to
// bring millions of rows out of the file costs more than any of the questions. Private to the
// analyzer. Owned by one thread.
#pragma once

#include <unordered_map>

#include "heap_churn.h"
#include "live_groups.h"
#include "tidemark/analyzer/report.h"
#include "usage_pass.h"

namespace tidemark::analyzer {

// What ended, or did not, in one series.
struct Ended {
  uint64_t frees = 0;
  uint64_t unfreed_bytes = 0;
  uint64_t unfreed_count = 0;
  LiveGroups leaked;
  std::unordered_map<int64_t, ApiCount> apis;  // by StringId
};

class EndsPass {
 public:
  EndsPass(const trace::Reader& reader, const HostSums& sums);
  void add(std::span<const trace::Allocation> batch);  // all rows, in any order
  std::map<Series, Ended> take() { return std::move(all_); }

 private:
  const HostSums& sums_;
  Lifetimes lifetimes_;
  std::map<Series, Ended> all_;
  // Those of the last row: runs of one series and API are long.
  Series series_;
  trace::StringId api_id_{};
  Ended* ended_ = nullptr;
  ApiCount* api_ = nullptr;
};

struct FirstPass {
  std::vector<UsageCurve> curves;
  std::map<Series, Ended> ends;
  std::optional<ProcessPeaks> heap_peaks;  // as UsagePass gives them
  HeapChurn churn;
};

[[nodiscard]] Result<FirstPass> first_pass(const trace::Reader& reader);

}  // namespace tidemark::analyzer
