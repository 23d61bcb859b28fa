#include "tidemark/analyzer/live.h"

#include <algorithm>
#include <tuple>

#include "host_sums.h"
#include "lifetimes.h"
#include "live_groups.h"

namespace tidemark::analyzer {

LiveSet LiveGroups::take(const Series& series, int64_t time_ns) {
  LiveSet set;
  set.series = series;
  set.time_ns = time_ns;
  set.bytes = total_.bytes;
  set.count = total_.count;
  set.groups.reserve(sums_.size());
  for (const auto& [key, sum] : sums_) {
    set.groups.push_back({key.stack, key.api, sum.bytes, sum.count});
  }
  std::sort(set.groups.begin(), set.groups.end(), [](const LiveGroup& a, const LiveGroup& b) {
    return std::tie(b.bytes, b.count, a.stack, a.api) < std::tie(a.bytes, a.count, b.stack, b.api);
  });
  return set;
}

namespace {

LiveSet live_by_sums(const HostSums& sums, const Series& series, int64_t time_ns) {
  const UsageCurve curve = sums.curve(series.layer);
  if (time_ns == curve.peak_ns) return sums.at_peak(series.layer).take(series, time_ns);
  LiveSet set;
  set.series = series;
  set.time_ns = time_ns;
  set.bytes = static_cast<uint64_t>(bytes_at(curve, time_ns));
  set.count = sums.count_at(series.layer, {}, time_ns);
  set.groups_known = false;
  return set;
}

}  // namespace

Result<LiveSet> live_at(const trace::Reader& reader, const Series& series, int64_t time_ns) {
  // kNever is the end of what never ends; the last moment before it shows the same.
  const int64_t moment = std::min(time_ns, trace::kNever - 1);
  const auto sums = HostSums::read(reader);
  if (!sums) return tl::unexpected(sums.error());
  if (sums->speak_for(series.layer) && moment < sums->rows_from_ns()) {
    return live_by_sums(*sums, series, time_ns);
  }
  const Lifetimes lifetimes(reader);
  LiveGroups groups;
  trace::AllocationFilter filter = filter_for(series);
  filter.begin_ns = moment;
  filter.end_ns = moment + 1;
  filter.any_order = true;
  const auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& allocation : batch) {
      if (allocation.alloc_ns <= moment && moment < lifetimes.end_ns(allocation)) {
        groups.add(allocation);
      }
    }
  });
  if (!read) return tl::unexpected(read.error());
  return groups.take(series, time_ns);
}

Result<LiveSet> leaks(const trace::Reader& reader, const Series& series) {
  const Lifetimes lifetimes(reader);
  LiveGroups groups;
  const auto sums = HostSums::read(reader);
  if (!sums) return tl::unexpected(sums.error());
  if (sums->speak_for(series.layer)) {
    for (const trace::HostTotal& total : sums->totals()) {
      if (total.layer != series.layer || !lifetimes.leaks(total.process)) continue;
      add_unfreed(total, groups);
    }
    return groups.take(series, reader.end_ns());
  }
  trace::AllocationFilter filter = filter_for(series);
  filter.any_order = true;
  filter.begin_ns = trace::kNever - 1;  // only what has no free: free_ns > begin_ns
  const auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& allocation : batch) {
      if (lifetimes.leaked(allocation)) groups.add(allocation);
    }
  });
  if (!read) return tl::unexpected(read.error());
  return groups.take(series, reader.end_ns());
}

}  // namespace tidemark::analyzer
