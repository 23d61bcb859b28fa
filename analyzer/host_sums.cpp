#include "host_sums.h"

#include <algorithm>

namespace tidemark::analyzer {
namespace {

// Sums of a trace are untrusted; more bytes than any machine has are cut off.
int64_t clipped(uint64_t bytes) {
  return static_cast<int64_t>(std::min<uint64_t>(bytes, std::numeric_limits<int64_t>::max()));
}

}  // namespace

Result<HostSums> HostSums::read(const trace::Reader& reader) {
  HostSums sums;
  auto totals = reader.host_totals();
  if (!totals) return tl::unexpected(totals.error());
  auto curve = reader.host_curve();
  if (!curve) return tl::unexpected(curve.error());
  sums.totals_ = std::move(*totals);
  sums.curve_ = std::move(*curve);
  return sums;
}

UsageCurve HostSums::curve(trace::Layer layer, trace::ProcessId process) const {
  UsageCurve curve;
  curve.series = {layer, trace::Space::kHost};
  for (const trace::HostCurvePoint& point : curve_) {
    if (point.layer != layer || point.process != process) continue;
    const int64_t bytes = clipped(point.bytes);
    if (!curve.points.empty() && curve.points.back().time_ns >= point.time_ns) continue;
    curve.points.push_back({point.time_ns, bytes});
    if (bytes > curve.peak_bytes) {
      curve.peak_bytes = bytes;
      curve.peak_ns = point.time_ns;
    }
  }
  for (const trace::HostTotal& total : totals_) {
    if (total.layer != layer || (process != trace::ProcessId{} && total.process != process)) {
      continue;
    }
    curve.allocations += total.allocations;
    curve.allocated_bytes += total.allocated_bytes;
  }
  return curve;
}

LiveGroups HostSums::at_peak(trace::Layer layer) const {
  LiveGroups groups;
  for (const trace::HostTotal& total : totals_) {
    if (total.layer != layer || total.at_peak_count == 0) continue;
    groups.add(total.stack, total.api, total.at_peak_bytes, total.at_peak_count);
  }
  return groups;
}

LiveGroups HostSums::at_process_peak(trace::Layer layer, trace::ProcessId process) const {
  LiveGroups groups;
  for (const trace::HostTotal& total : totals_) {
    if (total.layer != layer || total.process != process || total.at_process_peak_count == 0) {
      continue;
    }
    groups.add(total.stack, total.api, total.at_process_peak_bytes, total.at_process_peak_count);
  }
  return groups;
}

uint64_t HostSums::count_at(trace::Layer layer, trace::ProcessId process, int64_t time_ns) const {
  uint64_t count = 0;
  for (const trace::HostCurvePoint& point : curve_) {
    if (point.layer != layer || point.process != process) continue;
    if (point.time_ns > time_ns) break;
    count = point.count;
  }
  return count;
}

}  // namespace tidemark::analyzer
