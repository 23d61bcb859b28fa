#include "tidemark/analyzer/schedule.h"

#include <algorithm>

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

Result<Schedule> build_schedule(const trace::Reader& reader, int16_t device) {
  Schedule schedule;
  schedule.device = device;
  auto raw = read_schedule(reader, schedule);
  if (!raw) return tl::unexpected(raw.error());
  for (size_t i = 0; i < schedule.blocks.size(); ++i) {
    schedule.blocks[i].recorded_bytes = raw->blocks[i].bytes;
  }
  schedule.beside_pool_bytes = raw->beside_pool_bytes;
  schedule.recorded_peak_allocated = peak_of(schedule, *raw);
  const auto reserved = reader.pool_reserved();
  if (!reserved) return tl::unexpected(reserved.error());
  for (const trace::PoolReserved& row : *reserved) {
    if (row.device == device) {
      schedule.recorded_peak_reserved =
          std::max(schedule.recorded_peak_reserved, row.reserved_bytes);
    }
  }
  find_iterations(*raw, schedule);
  recover_requests(*raw, schedule);
  assign_roles(*raw, schedule);
  assign_laws(*raw, schedule);
  assign_elements(*raw, schedule);
  for (const StackFacts& facts : raw->stacks) schedule.calls.push_back(facts.modules);
  (void)find_layers(schedule, "");  // none is no fault here
  return schedule;
}

}  // namespace tidemark::analyzer
