#include "tidemark/analyzer/schedule.h"

#include <fmt/format.h>

#include <algorithm>

#include "../lifetimes.h"
#include "large_blocks.h"
#include "schedule_parts.h"

namespace tidemark::analyzer {
namespace {

uint64_t peak_of(const Schedule& schedule) {
  std::vector<std::pair<int64_t, int64_t>> changes;
  for (const ScheduledBlock& block : schedule.blocks) {
    const auto bytes = static_cast<int64_t>(block.recorded_bytes);
    changes.emplace_back(block.begin, bytes);
    if (block.end != ScheduledBlock::kForever) changes.emplace_back(block.end, -bytes);
  }
  std::ranges::sort(changes);
  int64_t live = 0;
  int64_t peak = 0;
  for (const auto& [position, change] : changes) peak = std::max(peak, live += change);
  return static_cast<uint64_t>(peak);
}

// A recording has a device's name, not how many multiprocessors it has: NVIDIA's data sheets have.
uint64_t groups_at_once(const trace::Reader& reader, int16_t device) {
  struct Card {
    std::string_view name;  // or what it contains
    uint64_t multiprocessors;
    uint64_t threads;  // of each
  };
  // The first that the name contains.
  static constexpr Card kCards[] = {
      {"H100 PCIe", 114, 2048}, {"H100 NVL", 132, 2048}, {"H100", 132, 2048},
      {"H200", 132, 2048},      {"H800", 132, 2048},     {"GH200", 132, 2048},
      {"B200", 148, 2048},      {"A100", 108, 2048},     {"A800", 108, 2048},
      {"A30", 56, 2048},        {"V100", 80, 2048},      {"T4", 40, 1024},
      {"A10G", 80, 1536},       {"A10", 72, 1536},       {"A40", 84, 1536},
      {"A6000", 84, 1536},      {"L40", 142, 1536},      {"L4", 58, 1536},
      {"RTX 5090", 170, 1536},  {"RTX 4090", 128, 1536}, {"RTX 3090", 82, 1536}};
  const std::string name = reader.meta(fmt::format("cuda.device.{}.name", device));
  constexpr uint64_t kGroup = 128;
  for (const Card& card : kCards) {
    if (name.find(card.name) != std::string::npos) {
      return card.multiprocessors * (card.threads / kGroup);
    }
  }
  return 0;
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

namespace {

// Of all blocks that `reader` shows.
Result<Schedule> build_of(const trace::Reader& reader, const Structure& structure,
                          const Series& series) {
  const auto known = categorize(reader, structure, series);
  if (!known) return tl::unexpected(known.error());
  Schedule schedule;
  schedule.series = series;
  auto raw = read_schedule(reader, structure, *known, schedule);
  if (!raw) return tl::unexpected(raw.error());
  for (size_t i = 0; i < schedule.blocks.size(); ++i) {
    schedule.blocks[i].recorded_bytes = raw->blocks[i].bytes;
  }
  schedule.beside_pool_bytes = raw->beside_pool_bytes;
  schedule.groups_at_once = groups_at_once(reader, series.device);
  schedule.recorded_peak_allocated = peak_of(schedule);
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

}  // namespace

Result<Schedule> build_schedule(const trace::Reader& reader, const Series& series) {
  uint64_t from = 0;
  if (series.layer == trace::Layer::kHeap) {
    const auto large = large_from(reader, series);
    if (!large) return tl::unexpected(large.error());
    from = *large;
  }
  if (from == 0) {
    const auto structure = find_structure(reader);
    return structure ? build_of(reader, *structure, series) : tl::unexpected(structure.error());
  }
  const auto large = large_blocks_of(reader, from);
  auto structure = find_structure(*large);
  // A small model's tensors may all be among the small ones.
  if (structure && structure->iterations.empty()) structure = find_structure(reader);
  if (!structure) return tl::unexpected(structure.error());
  auto schedule = build_of(*large, *structure, series);
  if (!schedule) return schedule;
  auto small = small_changes(reader, series, from);
  if (!small) return tl::unexpected(small.error());
  const auto rest = blocks_of_rest(schedule->event_ns, std::move(*small));
  schedule->blocks.insert(schedule->blocks.end(), rest.begin(), rest.end());
  schedule->recorded_peak_allocated = schedule->recorded_peak_reserved = peak_of(*schedule);
  return schedule;
}

}  // namespace tidemark::analyzer
