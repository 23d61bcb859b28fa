// The host's sums of a trace whose rows are none or not all (--host=aggregate, --max-size): in such
// a trace they, and not the rows, say what the host layers came to. With --max-size rows know all
// that lived from one moment on (rows_from_ns): what is asked about later moments, they answer.
// Private to the analyzer. Pure.
#pragma once

#include <vector>

#include "live_groups.h"
#include "tidemark/analyzer/usage.h"

namespace tidemark::analyzer {

class HostSums {
 public:
  [[nodiscard]] static Result<HostSums> read(const trace::Reader& reader);

  // False: the rows say all.
  bool speak_for(trace::Layer layer) const {
    return !curve_.empty() && (layer == trace::Layer::kOs || layer == trace::Layer::kHeap);
  }
  // At this moment and later every block that lived has its row; kNever: there are no rows.
  int64_t rows_from_ns() const { return rows_from_ns_; }
  const std::vector<trace::HostTotal>& totals() const { return totals_; }
  // Of one process, or of all ({}). Without points: there was nothing.
  UsageCurve curve(trace::Layer layer, trace::ProcessId process = {}) const;
  // What was live at the peak of the layer; of the layer in one process.
  LiveGroups at_peak(trace::Layer layer) const;
  LiveGroups at_process_peak(trace::Layer layer, trace::ProcessId process) const;
  // How many blocks, at that moment or shortly before.
  uint64_t count_at(trace::Layer layer, trace::ProcessId process, int64_t time_ns) const;

 private:
  std::vector<trace::HostTotal> totals_;
  std::vector<trace::HostCurvePoint> curve_;
  int64_t rows_from_ns_ = trace::kNever;
};

inline void add_unfreed(const trace::HostTotal& total, LiveGroups& groups) {
  const uint64_t count = total.allocations - total.frees;
  if (count > 0) {
    groups.add(total.stack, total.api, total.allocated_bytes - total.freed_bytes, count);
  }
}

}  // namespace tidemark::analyzer
