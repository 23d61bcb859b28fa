#include "tidemark/analyzer/whatif.h"

#include <algorithm>
#include <tuple>

#include "tidemark/analyzer/replay.h"

namespace tidemark::analyzer {
namespace {

// In order of position; at one position frees come first: what is given back there can be taken
// again.
std::vector<AllocatorEvent> events_of(const Schedule& schedule) {
  std::vector<std::pair<int64_t, AllocatorEvent>> ordered;
  ordered.reserve(2 * schedule.blocks.size());
  for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
    const ScheduledBlock& block = schedule.blocks[i];
    if (block.bytes == 0 || block.end <= block.begin) continue;
    ordered.emplace_back(block.begin,
                         AllocatorEvent{block.bytes, i, 0, AllocatorEvent::Kind::kAllocate});
    if (block.end != ScheduledBlock::kForever) {
      ordered.emplace_back(block.end, AllocatorEvent{0, i, 0, AllocatorEvent::Kind::kFree});
    }
  }
  const auto key = [](const auto& event) {
    const bool allocates = event.second.kind == AllocatorEvent::Kind::kAllocate;
    return std::tuple(event.first, allocates, event.second.lifetime);
  };
  std::ranges::sort(ordered, {}, key);
  std::vector<AllocatorEvent> events;
  events.reserve(ordered.size());
  for (const auto& [position, event] : ordered) events.push_back(event);
  return events;
}

Result<void> apply(Schedule& schedule, const WhatIf& what, Changes& changes) {
  Result<void> done;
  if (what.checkpoint && !what.checkpoint->module.empty()) {
    done = find_layers(schedule, what.checkpoint->module);
  }
  if (done && what.precision) done = lower_precision(schedule, *what.precision, changes);
  if (done && what.autocast) done = autocast(schedule, *what.autocast, changes);
  if (done && what.optimizer) done = change_optimizer(schedule, *what.optimizer, changes);
  if (done && what.checkpoint) done = checkpoint(schedule, *what.checkpoint, changes);
  if (done && what.batch != 1) done = scale_batch(schedule, what.batch, changes);
  if (done && what.keep_gradients) done = keep_gradients(schedule, changes);
  if (done && what.accumulate != 1) done = accumulate(schedule, what.accumulate, changes);
  return done;
}

}  // namespace

Result<std::optional<PeakBytes>> replay_peaks(const Schedule& schedule,
                                              const std::string& allocator, Capacity capacity) {
  auto model = make_allocator(allocator, capacity);
  if (!model) return tl::unexpected(model.error());
  ReplayOptions options;
  options.lifetimes = static_cast<uint32_t>(schedule.blocks.size());
  const Replay outcome = replay(events_of(schedule), **model, options);
  if (outcome.out_of_memory_at) return std::nullopt;
  return PeakBytes{outcome.peak_allocated_bytes, outcome.peak_reserved_bytes};
}

Result<Prediction> predict(const Schedule& schedule, const WhatIf& what) {
  Prediction prediction;
  prediction.beside_pool_bytes = schedule.beside_pool_bytes;
  prediction.recorded = {schedule.recorded_peak_allocated, schedule.recorded_peak_reserved};
  // Recorded blocks stand for their requests exactly: each was the smallest that fitted.
  Schedule untouched = schedule;
  for (ScheduledBlock& block : untouched.blocks) block.bytes = block.recorded_bytes;
  const auto baseline = replay_peaks(untouched, schedule.allocator);
  if (!baseline) return tl::unexpected(baseline.error());
  prediction.baseline = baseline->value_or(PeakBytes{});
  Schedule changed = what.changes_nothing() ? untouched : schedule;
  if (auto done = apply(changed, what, prediction.changes); !done) {
    return tl::unexpected(done.error());
  }
  const auto peaks =
      replay_peaks(changed, what.allocator.empty() ? schedule.allocator : what.allocator);
  if (!peaks) return tl::unexpected(peaks.error());
  prediction.predicted = peaks->value_or(PeakBytes{});
  return prediction;
}

Fit fit_of(const Prediction& prediction, uint64_t capacity) {
  constexpr uint64_t kContext = uint64_t{768} << 20;
  if (prediction.needed_bytes() > capacity) return Fit::kDoesNotFit;
  const uint64_t safe = prediction.needed_bytes() + prediction.predicted.reserved / 10 + kContext;
  return safe <= capacity ? Fit::kFits : Fit::kTooCloseToTell;
}

PredictionError error_of(const Prediction& prediction) {
  const PeakBytes& measured = *prediction.measured;
  const auto relative = [](uint64_t value, uint64_t truth) {
    return static_cast<double>(value) / static_cast<double>(truth) - 1;
  };
  const auto of_change = [](uint64_t value, uint64_t truth,
                            uint64_t base) -> std::optional<double> {
    const auto true_change = static_cast<double>(truth) - static_cast<double>(base);
    if (true_change == 0) return std::nullopt;
    return (static_cast<double>(value) - static_cast<double>(base)) / true_change - 1;
  };
  const PeakBytes& base = prediction.recorded;
  return {relative(prediction.predicted.allocated, measured.allocated),
          relative(prediction.predicted.reserved, measured.reserved),
          of_change(prediction.predicted.allocated, measured.allocated, base.allocated),
          of_change(prediction.predicted.reserved, measured.reserved, base.reserved)};
}

}  // namespace tidemark::analyzer
