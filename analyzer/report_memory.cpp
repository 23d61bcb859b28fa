// Series, what was live at their peaks, leaks, and pools.
#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

#include "first_pass.h"
#include "report_parts.h"

namespace tidemark::analyzer {
namespace {

std::vector<ApiCount> sorted_apis(const trace::Reader& reader,
                                  const std::unordered_map<int64_t, ApiCount>& by_id) {
  std::vector<ApiCount> apis;
  for (const auto& [id, count] : by_id) {
    const std::string& name = reader.text(static_cast<trace::StringId>(id));
    apis.push_back({name.empty() ? "unknown" : name, count.allocations, count.bytes});
  }
  std::sort(apis.begin(), apis.end(), [](const ApiCount& a, const ApiCount& b) {
    return std::tie(b.allocations, a.api) < std::tie(a.allocations, b.api);
  });
  return apis;
}

// The largest sum over all processes of what their pools on one device held. Samples in order of
// time.
struct Reserved {
  std::map<int32_t, uint64_t> by_process;
  uint64_t sum = 0;
  uint64_t peak = 0;
  int64_t peak_ns = 0;

  void set(int32_t process, uint64_t bytes, int64_t time_ns) {
    uint64_t& held = by_process[process];
    sum = sum - held + bytes;
    held = bytes;
    if (sum > peak) {
      peak = sum;
      peak_ns = time_ns;
    }
  }
};

}  // namespace

StackShares shares_of(const trace::Reader& reader, const LiveSet& set,
                      const ReportOptions& options) {
  StackShares shares;
  shares.bytes = set.bytes;
  shares.count = set.count;
  shares.groups = set.groups.size();
  const size_t shown = std::min(options.stacks, set.groups.size());
  for (size_t i = 0; i < shown; ++i) {
    const LiveGroup& group = set.groups[i];
    shares.top.push_back({group.bytes, group.count, reader.text(group.api),
                          view_stack(reader.frames(group.stack), options.stack_lines)});
  }
  return shares;
}

EndsPass::EndsPass(const trace::Reader& reader, const HostSums& sums)
    : sums_(sums), lifetimes_(reader) {
  for (const trace::HostTotal& total : sums.totals()) {
    Ended& ended = all_[{total.layer, trace::Space::kHost}];
    ApiCount& api = ended.apis[static_cast<int64_t>(total.api)];
    api.allocations += total.allocations;
    api.bytes += total.allocated_bytes;
    ended.frees += total.frees;
    ended.unfreed_count += total.allocations - total.frees;
    ended.unfreed_bytes += total.allocated_bytes - total.freed_bytes;
    if (lifetimes_.leaks(total.process)) add_unfreed(total, ended.leaked);
  }
}

void EndsPass::add(std::span<const trace::Allocation> batch) {
  for (const trace::Allocation& row : batch) {
    if (sums_.speak_for(row.layer)) continue;
    const Series series = series_of(row);
    if (ended_ == nullptr || series != series_ || row.api != api_id_) {
      series_ = series;
      api_id_ = row.api;
      ended_ = &all_[series];
      api_ = &ended_->apis[static_cast<int64_t>(row.api)];
    }
    ++api_->allocations;
    api_->bytes += row.size;
    if (row.free_ns != trace::kNever) {
      ++ended_->frees;
      continue;
    }
    ++ended_->unfreed_count;
    ended_->unfreed_bytes += row.size;
    if (lifetimes_.leaked(row)) ended_->leaked.add(row);
  }
}

Result<FirstPass> first_pass(const trace::Reader& reader) {
  const auto sums = HostSums::read(reader);
  if (!sums) return tl::unexpected(sums.error());
  UsagePass usage(reader, *sums);
  EndsPass ends(reader, *sums);
  auto churn = ChurnPass::begin(reader);
  if (!churn) return tl::unexpected(churn.error());
  const auto read = reader.allocations({}, [&](std::span<const trace::Allocation> batch) {
    usage.add(batch);
    ends.add(batch);
    churn->add(batch);
  });
  if (!read) return tl::unexpected(read.error());
  auto curves = usage.take();
  if (!curves) return tl::unexpected(curves.error());
  auto heap_peaks = usage.heap_peaks(*curves);
  return FirstPass{std::move(*curves), ends.take(), std::move(heap_peaks), churn->take()};
}

Result<void> add_series(const trace::Reader& reader, FirstPass& pass, const ReportOptions& options,
                        Report& report) {
  for (const UsageCurve& curve : pass.curves) {
    Ended& ended = pass.ends[curve.series];
    SeriesReport line;
    line.series = curve.series;
    line.peak_bytes = curve.peak_bytes;
    line.peak_ns = curve.peak_ns;
    line.allocations = curve.allocations;
    line.allocated_bytes = curve.allocated_bytes;
    line.frees = ended.frees;
    line.unfreed_bytes = ended.unfreed_bytes;
    line.unfreed_count = ended.unfreed_count;
    line.apis = sorted_apis(reader, ended.apis);
    const LiveSet leaked = ended.leaked.take(curve.series, reader.end_ns());
    line.leaked = shares_of(reader, leaked, options);
    if (options.stacks > 0 && curve.peak_bytes > 0) {
      const auto live = live_at(reader, curve.series, curve.peak_ns);
      if (!live) return tl::unexpected(live.error());
      line.at_peak = shares_of(reader, *live, options);
    }
    report.series.push_back(std::move(line));
  }
  return {};
}

Result<void> add_process_memory(const trace::Reader& reader, const FirstPass& pass,
                                const ReportOptions& options, Report& report) {
  const MemoryDepth depth =
      options.stacks > 0 ? MemoryDepth::kWithBlocks : MemoryDepth::kSystemOnly;
  auto uses = process_memory(reader, depth, pass.heap_peaks);
  if (!uses) return tl::unexpected(uses.error());
  if (options.culprits > 0) {
    auto found = find_resident_waste(reader, *uses, report.findings);
    if (!found) return found;
  }
  std::map<trace::ProcessId, ProcessMemoryUse*> by_id;
  for (ProcessMemoryUse& use : *uses) by_id[use.process] = &use;
  for (ProcessLine& line : report.processes) {
    const auto found = by_id.find(line.process.id);
    if (found == by_id.end()) continue;
    line.memory = std::move(*found->second);
    if (line.memory.heap_peak) {
      line.heap_at_peak = shares_of(reader, *line.memory.heap_peak, options);
    }
  }
  return {};
}

Result<void> add_pools(const trace::Reader& reader, Report& report) {
  struct Sample {
    int64_t time_ns;
    int32_t process;
    int16_t device;
    uint64_t bytes;
    bool process_ended;
  };
  const auto rows = reader.pool_reserved();
  if (!rows) return tl::unexpected(rows.error());
  std::vector<Sample> samples;
  samples.reserve(rows->size());
  for (const trace::PoolReserved& row : *rows) {
    samples.push_back(
        {row.time_ns, static_cast<int32_t>(row.process), row.device, row.reserved_bytes, false});
  }
  for (const trace::Process& process : reader.processes()) {
    if (process.end_ns == trace::kNever) continue;
    samples.push_back(
        {process.end_ns, static_cast<int32_t>(process.id), trace::kNoDevice, 0, true});
  }
  std::stable_sort(samples.begin(), samples.end(), [](const Sample& a, const Sample& b) {
    return std::tie(a.time_ns, a.process_ended) < std::tie(b.time_ns, b.process_ended);
  });
  std::map<int16_t, Reserved> devices;
  for (const Sample& sample : samples) {
    if (!sample.process_ended) {
      devices[sample.device].set(sample.process, sample.bytes, sample.time_ns);
      continue;
    }
    for (auto& [device, reserved] : devices) reserved.set(sample.process, 0, sample.time_ns);
  }
  for (const auto& [device, reserved] : devices) {
    PoolReport pool;
    pool.device = device;
    pool.peak_reserved_bytes = static_cast<int64_t>(reserved.peak);
    pool.peak_reserved_ns = reserved.peak_ns;
    for (const SeriesReport& line : report.series) {
      if (line.series.layer != trace::Layer::kPool || line.series.device != device) continue;
      pool.peak_allocated_bytes = line.peak_bytes;
      pool.peak_allocated_ns = line.peak_ns;
    }
    report.pools.push_back(pool);
  }
  return {};
}

}  // namespace tidemark::analyzer
