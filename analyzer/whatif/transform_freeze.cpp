// What is no longer computed: backward behind layers that learn nothing, or all of it.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

// Where the calls of modules that a block of forward was made in end, outermost first: at the last
// block of a row that have all been made in the same calls.
std::vector<std::vector<int64_t>> ends_of_calls(const Schedule& schedule) {
  std::vector<std::vector<int64_t>> ends(schedule.blocks.size());
  uint32_t behind = 0;
  bool any = false;
  for (auto i = static_cast<uint32_t>(schedule.blocks.size()); i-- > 0;) {
    const ScheduledBlock& block = schedule.blocks[i];
    if (block.phase != Phase::kForward || block.iteration == 0) continue;
    const auto& calls = schedule.calls[block.stack];
    ends[i].assign(calls.size(), block.begin);
    if (any && schedule.blocks[behind].iteration == block.iteration) {
      const auto& next = schedule.calls[schedule.blocks[behind].stack];
      for (size_t d = 0; d < calls.size() && d < next.size() && calls[d] == next[d]; ++d) {
        ends[i][d] = ends[behind][d];
      }
    }
    behind = i;
    any = true;
  }
  return ends;
}

// Python's frames hold what a module is called with until its call returns, whoever else has let go
// of it. Until when each block of forward is held like this; 0: by no call.
std::vector<int64_t> held_by_calls(const Schedule& schedule) {
  const auto ends = ends_of_calls(schedule);
  std::vector<int64_t> held(schedule.blocks.size());
  for (const DeviceWork& work : schedule.work) {
    const auto blocks = schedule.blocks_of(work);
    if (work.phase != Phase::kForward || work.iteration == 0 || blocks.size() < 2) continue;
    const uint32_t newest = *std::ranges::max_element(blocks);
    const ScheduledBlock& made = schedule.blocks[newest];
    if (ends[newest].empty()) continue;
    const auto& inner = schedule.calls[made.stack];
    for (const uint32_t i : blocks) {
      const ScheduledBlock& given = schedule.blocks[i];
      if (i == newest || given.phase != Phase::kForward || given.iteration != made.iteration) {
        continue;
      }
      const auto& outer = schedule.calls[given.stack];
      size_t d = 0;
      while (d < outer.size() && d < inner.size() && outer[d] == inner[d]) ++d;
      if (d < inner.size()) held[i] = std::max(held[i], ends[newest][d]);
      // Layers of one class that follow each other have the same calls.
      if (made.instance != 0 && given.instance != made.instance) {
        held[i] = std::max(held[i], schedule.instances[made.instance - 1].end);
      }
    }
  }
  return held;
}

// Forward's blocks are given back once forward needs them no more, or once backward up to `until`
// does not.
void free_after_forward(Schedule& schedule, const std::vector<Uses>& uses,
                        const std::vector<int64_t>& held, uint32_t i, int64_t until) {
  ScheduledBlock& block = schedule.blocks[i];
  int64_t last = std::max({uses[i].last_forward, held[i], block.begin});
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
  const auto held = held_by_calls(schedule);
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
      free_after_forward(schedule, uses, held, i, part.backward);
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
  const auto held = held_by_calls(schedule);
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
        free_after_forward(schedule, uses, held, i, 0);
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
