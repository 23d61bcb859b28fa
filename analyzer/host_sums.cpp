#include "host_sums.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

// Sums of a trace are untrusted; more bytes than any machine has are cut off.
int64_t clipped(uint64_t bytes) {
  return static_cast<int64_t>(std::min<uint64_t>(bytes, std::numeric_limits<int64_t>::max()));
}

uint64_t number_of(const std::string& text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

std::optional<Condensed> condensed_of(const trace::Reader& reader) {
  const std::string until = reader.meta("condensed_until_ns");
  if (until.empty()) return std::nullopt;
  return Condensed{clipped(number_of(until)), number_of(reader.meta("condensed_allocations"))};
}

std::string condensed_text(const Condensed& condensed) {
  const std::string count = format_count(condensed.allocations);
  if (condensed.until_ns == trace::kNever) {
    return fmt::format(
        "{} host allocations are summed up, and all later ones, for those that lived were too many",
        count);
  }
  return fmt::format("{} host allocations that were over before {} are summed up", count,
                     format_ns(condensed.until_ns));
}

Result<HostSums> HostSums::read(const trace::Reader& reader) {
  HostSums sums;
  const std::optional<Condensed> condensed = condensed_of(reader);
  if (condensed) sums.rows_from_ns_ = condensed->until_ns;
  // Until something was condensed the rows say all; sums may stand beside them, half written.
  if (!condensed && reader.meta("option_max_size_bytes") != "none" &&
      reader.meta("option_host") == "full") {
    return sums;
  }
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
