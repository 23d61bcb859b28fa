#include "tidemark/analyzer/schedule.h"

#include <algorithm>

#include "../lifetimes.h"
#include "schedule_parts.h"

namespace tidemark::analyzer {
namespace {

uint64_t peak_of(const Schedule& schedule, const Raw& raw) {
  std::vector<std::pair<int64_t, int64_t>> changes;
  for (size_t i = 0; i < schedule.blocks.size(); ++i) {
    const auto bytes = static_cast<int64_t>(raw.blocks[i].bytes);
    changes.emplace_back(schedule.blocks[i].begin, bytes);
    if (schedule.blocks[i].end != ScheduledBlock::kForever) {
      changes.emplace_back(schedule.blocks[i].end, -bytes);
    }
  }
  std::ranges::sort(changes);
  int64_t live = 0;
  int64_t peak = 0;
  for (const auto& [position, change] : changes) peak = std::max(peak, live += change);
  return static_cast<uint64_t>(peak);
}

}  // namespace

Result<Series> series_in(const trace::Reader& reader, trace::Space space, int16_t device) {
  const bool on_device = space == trace::Space::kDevice;
  const Series wanted[] = {{trace::Layer::kPool, space, device},
                           {trace::Layer::kDriver, space, device},
                           {trace::Layer::kHeap, space, trace::kNoDevice}};
  if (!on_device && condensed_of(reader)) {
    return fail(reader.path() +
                ": host allocations were summed up while recording; --space host needs all of "
                "them: record with --host=full and without --max-size");
  }
  for (const Series& series : wanted) {
    if (on_device == (series.layer == trace::Layer::kHeap)) continue;
    bool any = false;
    auto read = reader.allocations(
        filter_for(series), [&](std::span<const trace::Allocation> rows) { any |= !rows.empty(); });
    if (!read) return tl::unexpected(read.error());
    if (any) return series;
  }
  return fail(reader.path() + ": no memory of " +
              space_text({trace::Layer::kDriver, space, device}) +
              " was recorded; tidemark info lists what was");
}

int64_t Schedule::time_at(int64_t position) const {
  if (event_ns.empty()) return 0;
  const auto index = static_cast<size_t>(std::max<int64_t>(position, 0) / kStride);
  return event_ns[std::min(index, event_ns.size() - 1)];
}

Result<Schedule> build_schedule(const trace::Reader& reader, const Series& series) {
  const auto structure = find_structure(reader);
  if (!structure) return tl::unexpected(structure.error());
  const auto known = categorize(reader, *structure, series);
  if (!known) return tl::unexpected(known.error());
  Schedule schedule;
  schedule.series = series;
  auto raw = read_schedule(reader, *structure, *known, schedule);
  if (!raw) return tl::unexpected(raw.error());
  for (size_t i = 0; i < schedule.blocks.size(); ++i) {
    schedule.blocks[i].recorded_bytes = raw->blocks[i].bytes;
  }
  schedule.beside_pool_bytes = raw->beside_pool_bytes;
  schedule.recorded_peak_allocated = peak_of(schedule, *raw);
  if (series.layer == trace::Layer::kPool) {
    const auto reserved = reader.pool_reserved();
    if (!reserved) return tl::unexpected(reserved.error());
    for (const trace::PoolReserved& row : *reserved) {
      if (row.device != series.device) continue;
      schedule.recorded_peak_reserved =
          std::max(schedule.recorded_peak_reserved, row.reserved_bytes);
    }
    recover_requests(*raw, schedule);
  } else {
    schedule.allocator = "exact";
    schedule.recorded_peak_reserved = schedule.recorded_peak_allocated;
  }
  assign_laws(*raw, schedule);
  assign_elements(*raw, schedule);
  (void)find_layers(schedule, "");  // none is no fault here
  return schedule;
}

}  // namespace tidemark::analyzer
