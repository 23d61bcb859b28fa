#include "tidemark/analyzer/usage.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "process_peaks.h"
#include "sort_by_time.h"
#include "usage_pass.h"

namespace tidemark::analyzer {
namespace {

using Change = UsageChanges::Change;
using SeriesChanges = UsageChanges;

void note(const trace::Allocation& allocation, int64_t end_ns, SeriesChanges& changes) {
  ++changes.allocations;
  changes.allocated_bytes += allocation.size;
  if (end_ns <= allocation.alloc_ns || allocation.size == 0) return;
  changes.begins.push_back({allocation.alloc_ns, allocation.size});
  if (end_ns != trace::kNever) changes.ends.push_back({end_ns, allocation.size});
}

using Points = UsagePass::Points;

Result<UsageCurve> curve_of(const Series& series, SeriesChanges changes, Points points) {
  sort_by_time(changes.begins);
  sort_by_time(changes.ends);
  UsageCurve curve;
  curve.series = series;
  curve.allocations = changes.allocations;
  curve.allocated_bytes = changes.allocated_bytes;
  // Pages that are not used cost nothing; growing would copy all points again and again.
  if (points == Points::kKept) {
    curve.points.reserve(changes.begins.size() + changes.ends.size());
  }
  auto begin = changes.begins.cbegin();
  auto end = changes.ends.cbegin();
  int64_t live = 0;
  while (begin != changes.begins.cend() || end != changes.ends.cend()) {
    const bool ends_next = begin == changes.begins.cend() ||
                           (end != changes.ends.cend() && end->time_ns <= begin->time_ns);
    const int64_t now = ends_next ? end->time_ns : begin->time_ns;
    int64_t after = live;
    // Each end's begin lies strictly before it, so `after` cannot fall below 0.
    for (; end != changes.ends.cend() && end->time_ns == now; ++end) {
      after -= static_cast<int64_t>(end->bytes);
    }
    for (; begin != changes.begins.cend() && begin->time_ns == now; ++begin) {
      if (__builtin_add_overflow(after, begin->bytes, &after)) {
        return fail(
            fmt::format("the sizes of {} add up to more than 2^63 bytes: the trace is "
                        "damaged; record it again",
                        series_text(series)));
      }
    }
    if (after == live) continue;
    live = after;
    if (points == Points::kKept) curve.points.push_back({now, live});
    if (live > curve.peak_bytes) {
      curve.peak_bytes = live;
      curve.peak_ns = now;
    }
  }
  return curve;
}

// Before rows know all, a curve is made of the sums' points; from then on of the rows'.
void add_summed(const HostSums& sums, UsageCurve& curve) {
  UsageCurve summed = sums.curve(curve.series.layer);
  const auto end =
      std::find_if(summed.points.begin(), summed.points.end(),
                   [&](const UsagePoint& point) { return point.time_ns >= sums.rows_from_ns(); });
  summed.points.erase(end, summed.points.end());
  if (sums.rows_from_ns() != trace::kNever) {
    const int64_t live = bytes_at(curve, sums.rows_from_ns());
    const int64_t before = summed.points.empty() ? 0 : summed.points.back().bytes;
    if (live != before) summed.points.push_back({sums.rows_from_ns(), live});
  }
  const auto first =
      std::find_if(curve.points.begin(), curve.points.end(),
                   [&](const UsagePoint& point) { return point.time_ns > sums.rows_from_ns(); });
  summed.points.insert(summed.points.end(), first, curve.points.end());
  curve.points = std::move(summed.points);
  curve.allocations = summed.allocations;
  curve.allocated_bytes = summed.allocated_bytes;
  curve.peak_bytes = 0;
  curve.peak_ns = 0;
  for (const UsagePoint& point : curve.points) {
    if (point.bytes <= curve.peak_bytes) continue;
    curve.peak_bytes = point.bytes;
    curve.peak_ns = point.time_ns;
  }
}

}  // namespace

std::string space_text(const Series& series) {
  if (series.space != trace::Space::kDevice) return trace::to_string(series.space);
  if (series.device == trace::kNoDevice) return "device:?";
  return fmt::format("device:{}", series.device);
}

std::string series_text(const Series& series) {
  return fmt::format("{} {}", trace::to_string(series.layer), space_text(series));
}

Result<ProcessPeaks> process_peaks(const trace::Reader& reader, trace::Layer layer) {
  ProcessPeaks peaks;
  const auto sums = HostSums::read(reader);
  if (!sums) return tl::unexpected(sums.error());
  if (sums->speak_for(layer)) {
    for (const trace::Process& process : reader.processes()) {
      const UsageCurve curve = sums->curve(layer, process.id);
      if (curve.allocations > 0) peaks[process.id] = {curve.peak_bytes, curve.peak_ns};
    }
    return peaks;
  }
  const Lifetimes lifetimes(reader);
  std::map<trace::ProcessId, SeriesChanges> all;
  trace::AllocationFilter filter;
  filter.layer = layer;
  const auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& allocation : batch) {
      note(allocation, lifetimes.end_ns(allocation), all[allocation.process]);
    }
  });
  if (!read) return tl::unexpected(read.error());
  for (auto& [process, changes] : all) {
    const auto curve =
        curve_of({layer, trace::Space::kHost}, std::move(changes), Points::kPeakAlone);
    if (!curve) return tl::unexpected(curve.error());
    peaks[process] = {curve->peak_bytes, curve->peak_ns};
  }
  return peaks;
}

namespace {

Result<std::vector<UsageCurve>> usage_of(const trace::Reader& reader, Points points) {
  const auto sums = HostSums::read(reader);
  if (!sums) return tl::unexpected(sums.error());
  UsagePass pass(reader, *sums, points);
  const auto read =
      reader.allocations({}, [&](std::span<const trace::Allocation> batch) { pass.add(batch); });
  if (!read) return tl::unexpected(read.error());
  return pass.take();
}

}  // namespace

UsagePass::UsagePass(const trace::Reader& reader, const HostSums& sums, Points points)
    : sums_(sums),
      lifetimes_(reader),
      only_sums_(sums.rows_from_ns() == trace::kNever),
      points_(points) {
  for (const trace::Layer layer : {trace::Layer::kOs, trace::Layer::kHeap}) {
    if (sums.speak_for(layer) && sums.curve(layer).allocations > 0) {
      all_[{layer, trace::Space::kHost}];
    }
  }
}

void UsagePass::add(std::span<const trace::Allocation> batch) {
  for (const trace::Allocation& allocation : batch) {
    if (allocation.layer == trace::Layer::kHeap) {
      if (heap_rows_ && allocation.process != heap_process_) heap_processes_ = true;
      heap_process_ = allocation.process;
      heap_rows_ = true;
      heap_elsewhere_ |= allocation.space != trace::Space::kHost;
    }
    if (only_sums_ && sums_.speak_for(allocation.layer)) continue;
    const Series series = series_of(allocation);
    if (last_ == nullptr || series != last_series_) {
      last_ = &all_[series];
      last_series_ = series;
    }
    note(allocation, lifetimes_.end_ns(allocation), *last_);
  }
}

Result<std::vector<UsageCurve>> UsagePass::take() {
  std::vector<UsageCurve> curves;
  for (auto& [series, changes] : all_) {
    const bool summed = sums_.speak_for(series.layer) && series.space == trace::Space::kHost;
    auto curve = curve_of(series, std::move(changes), summed ? Points::kKept : points_);
    if (!curve) return tl::unexpected(curve.error());
    if (summed) add_summed(sums_, *curve);
    curves.push_back(std::move(*curve));
  }
  all_.clear();
  last_ = nullptr;
  return curves;
}

std::optional<ProcessPeaks> UsagePass::heap_peaks(const std::vector<UsageCurve>& curves) const {
  if (sums_.speak_for(trace::Layer::kHeap) || heap_processes_ || heap_elsewhere_) {
    return std::nullopt;
  }
  ProcessPeaks peaks;
  for (const UsageCurve& curve : curves) {
    if (curve.series.layer == trace::Layer::kHeap) {
      peaks[heap_process_] = {curve.peak_bytes, curve.peak_ns};
    }
  }
  return peaks;
}

Result<std::vector<UsageCurve>> usage_curves(const trace::Reader& reader) {
  return usage_of(reader, Points::kKept);
}

Result<std::vector<UsageCurve>> usage_peaks(const trace::Reader& reader) {
  return usage_of(reader, Points::kPeakAlone);
}

int64_t bytes_at(const UsageCurve& curve, int64_t time_ns) {
  const auto after =
      std::upper_bound(curve.points.begin(), curve.points.end(), time_ns,
                       [](int64_t time, const UsagePoint& point) { return time < point.time_ns; });
  return after == curve.points.begin() ? 0 : std::prev(after)->bytes;
}

}  // namespace tidemark::analyzer
