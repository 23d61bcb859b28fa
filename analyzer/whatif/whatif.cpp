#include "tidemark/analyzer/whatif.h"

#include <algorithm>
#include <tuple>

namespace tidemark::analyzer {
namespace {

struct Event {
  int64_t position;
  bool alloc;
  uint32_t block;
};

// At one position frees come first: what is given back there can be taken again.
std::vector<Event> events_of(const Schedule& schedule) {
  std::vector<Event> events;
  events.reserve(2 * schedule.blocks.size());
  for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
    const ScheduledBlock& block = schedule.blocks[i];
    if (block.bytes == 0 || block.end <= block.begin) continue;
    events.push_back({block.begin, true, i});
    if (block.end != ScheduledBlock::kForever) events.push_back({block.end, false, i});
  }
  std::ranges::sort(events, [](const Event& a, const Event& b) {
    return std::tie(a.position, a.alloc, a.block) < std::tie(b.position, b.alloc, b.block);
  });
  return events;
}

Result<void> apply(Schedule& schedule, const WhatIf& what, Changes& changes) {
  Result<void> done;
  if (what.checkpoint && !what.checkpoint->module.empty()) {
    done = find_layers(schedule, what.checkpoint->module);
  }
  if (done && what.precision) done = lower_precision(schedule, *what.precision, changes);
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
  std::vector<BlockHandle> handles(schedule.blocks.size());
  for (const Event& event : events_of(schedule)) {
    if (!event.alloc) {
      (*model)->free(handles[event.block]);
      continue;
    }
    const auto handle = (*model)->allocate(schedule.blocks[event.block].bytes, 0);
    if (!handle) return std::nullopt;
    handles[event.block] = *handle;
  }
  return PeakBytes{(*model)->peak_allocated_bytes(), (*model)->peak_reserved_bytes()};
}

Result<Prediction> predict(const Schedule& schedule, const WhatIf& what) {
  Prediction prediction;
  prediction.beside_pool_bytes = schedule.beside_pool_bytes;
  prediction.recorded = {schedule.recorded_peak_allocated, schedule.recorded_peak_reserved};
  // Recorded blocks stand for their requests exactly: each was the smallest that fitted.
  Schedule untouched = schedule;
  for (ScheduledBlock& block : untouched.blocks) block.bytes = block.recorded_bytes;
  const auto baseline = replay_peaks(untouched, "torch");
  if (!baseline) return tl::unexpected(baseline.error());
  prediction.baseline = baseline->value_or(PeakBytes{});
  Schedule changed = what.changes_nothing() ? untouched : schedule;
  if (auto done = apply(changed, what, prediction.changes); !done) {
    return tl::unexpected(done.error());
  }
  const auto peaks = replay_peaks(changed, what.allocator);
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
