#include <algorithm>
#include <unordered_set>

#include "schedule_parts.h"

namespace tidemark::analyzer {
namespace {

// A block's birth or a piece of work, in order.
struct Moment {
  int64_t position = 0;
  Phase phase{};
  uint32_t stack = Raw::kNone;
  bool in_module = false;
  int64_t time_ns = 0;
};

std::vector<Moment> moments_of(const Raw& raw, const Schedule& schedule) {
  std::vector<Moment> moments;
  size_t next = 0;
  const auto add_work_until = [&](int64_t position) {
    for (; next < schedule.work.size() && schedule.work[next].position < position; ++next) {
      const uint32_t stack = raw.work_stack[next];
      if (stack == Raw::kNone) continue;
      moments.push_back({schedule.work[next].position + 1, schedule.work[next].phase, stack,
                         !raw.stacks[stack].modules.empty(), schedule.work[next].start_ns});
    }
  };
  for (size_t i = 0; i < schedule.blocks.size(); ++i) {
    const ScheduledBlock& block = schedule.blocks[i];
    add_work_until(block.begin);
    const uint32_t stack = raw.blocks[i].stack;
    moments.push_back({block.begin, block.phase, stack, !raw.stacks[stack].modules.empty(),
                       raw.blocks[i].alloc_ns});
  }
  add_work_until(ScheduledBlock::kForever);
  return moments;
}

// The first step begins with what the later ones begin with: their inputs come before the model.
size_t first_begin(const std::vector<Moment>& moments, const std::vector<size_t>& later) {
  const auto model = std::ranges::find_if(
      moments, [](const Moment& m) { return m.in_module && m.phase == Phase::kForward; });
  auto begin = static_cast<size_t>(model - moments.begin());
  if (later.empty()) return begin;
  std::unordered_set<uint32_t> leading;
  for (size_t i = later.front(); i < moments.size() && !moments[i].in_module; ++i) {
    leading.insert(moments[i].stack);
  }
  while (begin > 0 && leading.contains(moments[begin - 1].stack)) --begin;
  return begin;
}

void mark_iterations(Schedule& schedule) {
  const auto iteration_at = [&](int64_t position) {
    const auto after =
        std::ranges::upper_bound(schedule.iterations, position, {}, &ScheduledStep::begin);
    return static_cast<uint32_t>(after - schedule.iterations.begin());
  };
  for (ScheduledBlock& block : schedule.blocks) {
    block.iteration = iteration_at(block.begin);
    if (block.iteration == 0) block.phase = Phase::kSetup;
  }
  for (DeviceWork& work : schedule.work) {
    work.iteration = iteration_at(work.position);
    if (work.iteration == 0) work.phase = Phase::kSetup;
  }
}

}  // namespace

void find_iterations(const Raw& raw, Schedule& schedule) {
  const auto moments = moments_of(raw, schedule);
  std::vector<size_t> later;
  for (size_t i = 1; i < moments.size(); ++i) {
    if (moments[i - 1].phase == Phase::kOptimizer && moments[i].phase == Phase::kForward) {
      later.push_back(i);
    }
  }
  const size_t first = first_begin(moments, later);
  if (first == moments.size()) return;
  std::vector<size_t> begins{first};
  for (const size_t begin : later) {
    if (begin > first) begins.push_back(begin);
  }
  for (size_t k = 0; k < begins.size(); ++k) {
    const size_t end = k + 1 < begins.size() ? begins[k + 1] : moments.size();
    ScheduledStep iteration;
    iteration.begin = moments[begins[k]].position;
    iteration.begin_ns = moments[begins[k]].time_ns;
    iteration.end = k + 1 < begins.size() ? moments[end].position : ScheduledBlock::kForever;
    iteration.end_ns = k + 1 < begins.size() ? moments[end].time_ns : moments.back().time_ns;
    iteration.backward = iteration.optimizer = iteration.end;
    for (size_t i = begins[k]; i < end; ++i) {
      const Moment& moment = moments[i];
      if (moment.phase == Phase::kBackward && iteration.backward == iteration.end) {
        iteration.backward = moment.position;
      }
      if (moment.phase == Phase::kOptimizer) {
        iteration.optimizer = moment.position;
        break;
      }
    }
    // What comes after the last step and never gets to backward is no step.
    if (iteration.backward != iteration.end) schedule.iterations.push_back(iteration);
  }
  mark_iterations(schedule);
}

}  // namespace tidemark::analyzer
