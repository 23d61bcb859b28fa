#include "tidemark/analyzer/whatif.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "tidemark/analyzer/units.h"
#include "whatif_parts.h"

namespace tidemark::analyzer {
namespace {

Result<void> quantize(Schedule& schedule, const Quantization& how, Changes& changes) {
  Result<void> done;
  if (how.weights) done = quantize_weights(schedule, *how.weights, changes);
  if (done && how.optimizer) done = change_optimizer(schedule, OptimizerKind::kAdam8bit, changes);
  if (done && how.gradients) done = quantize_gradients(schedule, changes);
  return done;
}

Result<void> change_model(Schedule& schedule, const WhatIf& what, Changes& changes) {
  Result<void> done;
  if (what.precision) done = lower_precision(schedule, *what.precision, changes);
  if (done && what.autocast) done = autocast(schedule, *what.autocast, changes);
  if (done && what.low_rank != 0) done = factor_weights(schedule, what.low_rank, changes);
  if (done && what.prune) {
    done = what.prune->structured ? prune_widths(schedule, what.prune->share, changes)
                                  : mask_weights(schedule, what.prune->share, changes);
  }
  if (done && what.freeze) done = freeze(schedule, *what.freeze, changes);
  if (done && what.optimizer) done = change_optimizer(schedule, *what.optimizer, changes);
  if (done && what.lora != 0) done = low_rank_adapters(schedule, what.lora, changes);
  if (done && what.quantize) done = quantize(schedule, *what.quantize, changes);
  return done;
}

Result<void> offload(Schedule& schedule, Offload what, Changes& changes) {
  switch (what) {
    case Offload::kActivations:
      return offload_activations(schedule, changes);
    case Offload::kOptimizer:
      return offload_optimizer(schedule, changes);
    case Offload::kParameters:
      break;
  }
  return offload_parameters(schedule, changes);
}

// The stage that needs the most.
Result<void> worst_stage(Schedule& schedule, const Pipeline& how, Changes& changes) {
  std::optional<ChangedSchedule> worst;
  uint64_t most = 0;
  for (uint32_t stage = 0; stage < std::max(how.stages, 1U); ++stage) {
    ChangedSchedule one{schedule, changes};
    if (auto done = pipeline(one.schedule, how, stage, one.changes); !done) return done;
    const auto peaks = replay_peaks(one.schedule, "exact");
    if (!peaks) return tl::unexpected(peaks.error());
    const uint64_t needs = peaks->value_or(PeakBytes{}).allocated;
    if (worst && needs <= most) continue;
    most = needs;
    worst = std::move(one);
  }
  schedule = std::move(worst->schedule);
  changes = std::move(worst->changes);
  return {};
}

// What there is of it without backward, gradients and optimizer; the rest is named.
WhatIf at_inference(WhatIf what, Changes& changes) {
  std::vector<const char*> without;
  const auto leave_out = [&](bool asked, const char* option) {
    if (asked) without.push_back(option);
    return asked;
  };
  if (leave_out(what.checkpoint.has_value(), "--checkpoint")) what.checkpoint.reset();
  if (leave_out(what.accumulate != 1, "--accumulate")) what.accumulate = 1;
  if (leave_out(what.optimizer.has_value(), "--optimizer")) what.optimizer.reset();
  if (leave_out(what.freeze.has_value(), "--freeze")) what.freeze.reset();
  if (what.quantize) {
    if (leave_out(what.quantize->optimizer, "--quantize optimizer"))
      what.quantize->optimizer = false;
    if (leave_out(what.quantize->activations, "--quantize activations")) {
      what.quantize->activations = false;
    }
    if (leave_out(what.quantize->gradients, "--quantize gradients"))
      what.quantize->gradients = false;
  }
  if (leave_out(what.shard && what.shard->stage == 0, "--data-parallel") ||
      leave_out(what.shard && what.shard->stage == 1, "--zero 1")) {
    what.shard.reset();
  }
  if (leave_out(what.offload == Offload::kActivations, "--offload activations") ||
      leave_out(what.offload == Offload::kOptimizer, "--offload optimizer")) {
    what.offload.reset();
  }
  if (leave_out(what.fuse_backward, "--fuse-backward")) what.fuse_backward = false;
  if (leave_out(what.keep_gradients, "--keep-gradients")) what.keep_gradients = false;
  if (!without.empty()) {
    changes.assumptions.push_back(
        fmt::format("at inference there is no backward and no optimizer, so nothing is changed by "
                    "{}",
                    fmt::join(without, ", ")));
  }
  return what;
}

Result<void> apply(Schedule& schedule, WhatIf what, Changes& changes) {
  if (what.pipeline && (what.shard || what.accumulate != 1 || what.inference)) {
    return fail(
        "--pipeline goes without --zero, --data-parallel, --accumulate and --inference: its "
        "microbatches are those of the schedule");
  }
  if (what.inference) what = at_inference(std::move(what), changes);
  Result<void> done;
  if (what.checkpoint && !what.checkpoint->module.empty()) {
    done = find_layers(schedule, what.checkpoint->module);
  }
  if (done) done = change_model(schedule, what, changes);
  if (done && what.tensor_parallel > 1) {
    done = tensor_parallel(schedule, what.tensor_parallel, changes);
  }
  if (done && what.checkpoint) done = checkpoint(schedule, *what.checkpoint, changes);
  if (done && what.offload) done = offload(schedule, *what.offload, changes);
  // Of what is still saved on the device.
  if (done && what.quantize && what.quantize->activations) {
    done = quantize_activations(schedule, changes);
  }
  if (done && what.inference) done = inference(schedule, changes);
  if (done && what.batch != 1) done = scale_batch(schedule, what.batch, changes);
  if (done && what.sequence != 1) done = scale_sequence(schedule, what.sequence, changes);
  if (done && what.fuse_backward) done = fuse_backward(schedule, changes);
  if (done && what.keep_gradients) done = keep_gradients(schedule, changes);
  if (done && what.shard) {
    done = what.shard->stage == 0 ? data_parallel(schedule, what.shard->world, changes)
                                  : shard(schedule, what.shard->stage, what.shard->world, changes);
  }
  if (done && what.accumulate != 1) done = accumulate(schedule, what.accumulate, changes);
  if (done && what.pipeline) done = worst_stage(schedule, *what.pipeline, changes);
  return done;
}

}  // namespace

Result<ChangedSchedule> change_planned(const Schedule& schedule, const WhatIf& what) {
  ChangedSchedule changed{schedule, {}};
  const bool own_allocator = what.allocator.empty() || what.allocator == schedule.allocator;
  if (what.changes_nothing() && own_allocator) {
    // Recorded blocks stand for their requests exactly: each was the smallest that fitted.
    for (ScheduledBlock& block : changed.schedule.blocks) block.bytes = block.recorded_bytes;
    return changed;
  }
  // Another allocator, or another size, is asked for what the program asked for.
  if (auto done = apply(changed.schedule, what, changed.changes); !done) {
    return tl::unexpected(done.error());
  }
  return changed;
}

namespace {

const std::string& allocator_of(const Schedule& schedule, const WhatIf& what) {
  return what.allocator.empty() ? schedule.allocator : what.allocator;
}

// Turns "as many as it takes" into a plan.
Result<WhatIf> with_plan(const Schedule& schedule, const WhatIf& what, Prediction& prediction) {
  if (!what.checkpoint || !what.checkpoint->fit || what.inference) return what;
  auto curve = plan_checkpoints(schedule, what);
  if (!curve) return tl::unexpected(curve.error());
  const uint64_t capacity = *what.checkpoint->fit;
  const auto chosen = cheapest_fit(*curve, schedule.beside_pool_bytes, capacity);
  if (!chosen) {
    return fail(fmt::format(
        "--checkpoint auto: no plan fits into {}: with all layers computed again {} are reserved",
        format_bytes(capacity), format_bytes(curve->points.back().peaks.reserved)));
  }
  WhatIf planned = what;
  planned.checkpoint = curve->plans[*chosen];
  prediction.plans = std::move(curve->points);
  prediction.planned_layers = prediction.plans[*chosen].layers;
  return planned;
}

// Small blocks of the host, which a schedule has without their origins.
void say_rest(const Schedule& schedule, Changes& changes) {
  if (schedule.series.layer != trace::Layer::kHeap) return;
  uint64_t smallest = std::numeric_limits<uint64_t>::max();
  bool rest = false;
  for (const ScheduledBlock& block : schedule.blocks) {
    if (block.origin == trace::AllocationId{}) {
      rest = true;
    } else {
      smallest = std::min(smallest, block.recorded_bytes);
    }
  }
  if (!rest || smallest == std::numeric_limits<uint64_t>::max()) return;
  changes.assumptions.push_back(fmt::format(
      "of the host's many blocks those of less than {} stay as they are", format_bytes(smallest)));
}

}  // namespace

Result<Prediction> predict_beside(const Schedule& schedule, const PeakBytes& baseline,
                                  const WhatIf& what, Capacity capacity) {
  Prediction prediction;
  prediction.capacity = capacity;
  prediction.beside_pool_bytes = schedule.beside_pool_bytes;
  prediction.recorded = {schedule.recorded_peak_allocated, schedule.recorded_peak_reserved};
  prediction.baseline = baseline;
  const auto planned = with_plan(schedule, what, prediction);
  if (!planned) return tl::unexpected(planned.error());
  auto changed = change_planned(schedule, *planned);
  if (!changed) return tl::unexpected(changed.error());
  prediction.changes = std::move(changed->changes);
  if (!what.changes_nothing()) say_rest(schedule, prediction.changes);
  const std::string& allocator = allocator_of(schedule, what);
  const auto peak = replay_to_peak(changed->schedule, allocator);
  if (!peak) return tl::unexpected(peak.error());
  prediction.predicted = peak->peaks;
  prediction.at_peak = peak->categories;
  if (capacity) {
    const auto least = least_pool_bytes(changed->schedule, allocator, prediction.predicted);
    if (!least) return tl::unexpected(least.error());
    prediction.least_pool_bytes = *least;
  }
  const auto spread = spread_of(changed->schedule, allocator);
  if (!spread) return tl::unexpected(spread.error());
  if (*spread) {
    prediction.predicted.reserved = (*spread)->reserved;
    if (capacity) {
      prediction.least_pool_bytes = std::min(*prediction.least_pool_bytes, (*spread)->reserved);
    }
    double& band = prediction.changes.reserved_band;
    band = std::max(band, (*spread)->above);
  }
  return prediction;
}

Result<Prediction> predict(const Schedule& schedule, const WhatIf& what, Capacity capacity) {
  const auto untouched = change_planned(schedule, {});
  if (!untouched) return tl::unexpected(untouched.error());
  const auto baseline = replay_peaks(untouched->schedule, schedule.allocator);
  if (!baseline) return tl::unexpected(baseline.error());
  return predict_beside(schedule, baseline->value_or(PeakBytes{}), what, capacity);
}

Result<ChangedSchedule> change(const Schedule& schedule, const WhatIf& what) {
  Prediction unused;
  const auto planned = with_plan(schedule, what, unused);
  if (!planned) return tl::unexpected(planned.error());
  return change_planned(schedule, *planned);
}

}  // namespace tidemark::analyzer
