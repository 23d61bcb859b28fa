// What is no longer computed: backward behind layers that learn nothing, or all of it.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

// Forward's blocks are given back once forward needs them no more, or once backward up to `until`
// does not.
void free_after_forward(Schedule& schedule, const std::vector<Uses>& uses, uint32_t i,
                        int64_t until) {
  ScheduledBlock& block = schedule.blocks[i];
  int64_t last = std::max(uses[i].last_forward, block.begin);
  if (uses[i].first_backward < until) last = std::max(last, uses[i].first_backward);
  block.end = std::min(block.end, last + 2);
  block.saved = block.saved && uses[i].first_backward < until;
}

void drop_parameter_state(Schedule& schedule, const TrainedParameters& trained, uint32_t i) {
  for (const uint32_t kept : trained.kept_for(i)) drop(schedule.blocks[kept]);
  schedule.blocks[i].trained = false;
}

// Of each step: behind the last frozen layer's forward, and where backward comes to it.
struct FrozenPart {
  int64_t forward_end = 0;
  int64_t backward = ScheduledBlock::kForever;
};

std::vector<FrozenPart> frozen_parts(const Schedule& schedule, double share,
                                     const std::vector<int64_t>& backward, size_t& layers) {
  std::vector<FrozenPart> parts(schedule.iterations.size() + 1);
  std::vector<std::vector<uint32_t>> of_step(parts.size());
  for (uint32_t i = 0; i < schedule.instances.size(); ++i) {
    of_step[schedule.instances[i].iteration].push_back(i);
  }
  for (size_t step = 1; step < parts.size(); ++step) {
    const auto count =
        static_cast<size_t>(std::lround(share * static_cast<double>(of_step[step].size())));
    layers = count;
    for (size_t k = 0; k < count; ++k) {
      const uint32_t layer = of_step[step][k];
      parts[step].forward_end = schedule.instances[layer].end;
      if (k + 1 == count) parts[step].backward = backward[layer];
    }
  }
  return parts;
}

}  // namespace

Result<void> freeze(Schedule& schedule, double share, Changes& changes) {
  if (auto known = need_work(schedule, "--freeze"); !known) return known;
  if (share <= 0 || share > 1) return fail("--freeze takes a share of the layers, as 0.5");
  if (schedule.instances.empty()) {
    return fail("--freeze: no layers that repeat: the stacks show no modules of Python");
  }
  const auto uses = uses_of(schedule);
  const TrainedParameters trained(schedule);
  size_t layers = 0;
  const auto parts = frozen_parts(schedule, share, backward_of_layers(schedule, uses), layers);
  std::set<uint32_t> frozen;
  for (const DeviceWork& work : schedule.work) {
    if (work.phase != Phase::kForward || work.iteration == 0) continue;
    if (work.position > parts[work.iteration].forward_end) continue;
    for (const uint32_t i : schedule.blocks_of(work)) {
      if (schedule.blocks[i].trained) frozen.insert(i);
    }
  }
  const auto cut = [&](const DeviceWork& work) {
    return work.phase == Phase::kBackward && work.position >= parts[work.iteration].backward;
  };
  spare(schedule, cut, 1, changes);
  for (uint32_t i = 0; i < uses.size(); ++i) {
    ScheduledBlock& block = schedule.blocks[i];
    if (block.iteration == 0) continue;
    const FrozenPart& part = parts[block.iteration];
    if (block.phase == Phase::kForward && block.begin <= part.forward_end &&
        block.category == Category::kActivation) {
      free_after_forward(schedule, uses, i, part.backward);
    } else if (block.phase == Phase::kBackward && block.begin >= part.backward &&
               block.category != Category::kWorkspace) {
      drop(block);
    }
  }
  for (const uint32_t i : frozen) drop_parameter_state(schedule, trained, i);
  changes.assumptions.push_back(
      fmt::format("the first {} layers and all before them have requires_grad=False: no gradients, "
                  "no optimizer "
                  "states, and backward ends behind them",
                  layers));
  return {};
}

Result<void> inference(Schedule& schedule, Changes& changes) {
  if (auto steps = need_steps(schedule, "--inference"); !steps) return steps;
  const auto uses = uses_of(schedule);
  for (uint32_t i = 0; i < uses.size(); ++i) {
    ScheduledBlock& block = schedule.blocks[i];
    const bool computed = block.phase == Phase::kBackward || block.phase == Phase::kOptimizer;
    if (computed || block.category == Category::kOptimizerState ||
        block.category == Category::kGradient) {
      drop(block);
    } else if (block.iteration > 0 && block.category == Category::kActivation) {
      const bool dropout = schedule.operations[block.operation] == "native_dropout";
      if (dropout && block.element == ElementKind::kOther)
        drop(block);
      else
        free_after_forward(schedule, uses, i, 0);
    }
    block.trained = false;
  }
  const auto not_forward = [](const DeviceWork& work) { return work.phase != Phase::kForward; };
  spare(schedule, not_forward, 1, changes);
  changes.assumptions.emplace_back(
      "forward alone, in eval() and under torch.no_grad(): nothing is kept for backward, no "
      "gradients, no optimizer; one pass after the other with the same batch");
  return {};
}

Result<void> fuse_backward(Schedule& schedule, Changes& changes) {
  if (auto steps = need_steps(schedule, "--fuse-backward"); !steps) return steps;
  const TrainedParameters trained(schedule);
  for (const uint32_t parameter : trained.all()) {
    const auto gradients = trained.gradients_of(parameter);
    for (const uint32_t i : trained.kept_for(parameter)) {
      ScheduledBlock& block = schedule.blocks[i];
      if (std::ranges::find(gradients, i) != gradients.end()) {
        block.end = std::min(block.end, block.begin + Schedule::kStride);
        continue;
      }
      // The optimizer's scratch is there with its gradient, one at a time.
      if (block.category == Category::kOptimizerState) continue;
      for (const uint32_t gradient : gradients) {
        if (schedule.blocks[gradient].iteration != block.iteration) continue;
        block.begin = schedule.blocks[gradient].begin + 1;
        block.end = block.begin + Schedule::kStride / 2;
      }
    }
  }
  changes.assumptions.emplace_back(
      "each parameter's optimizer step runs in backward as soon as its gradient is there "
      "(register_post_accumulate_grad_hook), and the gradient is given back; no clipping of the "
      "gradients' norm, no accumulation");
  changes.unknown.emplace_back("what many small optimizer steps cost in place of one fused one");
  return {};
}

}  // namespace tidemark::analyzer
