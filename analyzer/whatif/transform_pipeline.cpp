// One stage of a pipeline, in the order of one forward, one backward (1F1B):
//
//   stage 0 of 2, 3 microbatches:   F0 F1 B0 F2 B1 B2 | optimizer
//   stage 1 of 2                       F0 B0 F1 B1 F2 B2 | optimizer
//
// A stage has its layers' part of a recorded step: from its first layer's forward to the next
// stage's, and the same of backward. Each microbatch takes these parts anew, with its share of the
// samples; what forward keeps for backward lies between a microbatch's F and its B.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  bool has(int64_t position) const { return begin <= position && position < end; }
};

// Of one step.
struct StagePart {
  Range forward;
  Range backward;
  Range optimizer;
};

int64_t whole_stride(int64_t position) { return position / Schedule::kStride * Schedule::kStride; }

Result<std::vector<StagePart>> parts_of(const Schedule& schedule, uint32_t stages, uint32_t stage) {
  const auto backward = backward_of_layers(schedule, uses_of(schedule));
  const auto last_event = static_cast<int64_t>(schedule.event_ns.size()) * Schedule::kStride;
  std::vector<StagePart> parts;
  for (uint32_t number = 1; number <= schedule.iterations.size(); ++number) {
    const ScheduledStep& step = schedule.iterations[number - 1];
    std::vector<size_t> layers;
    for (size_t i = 0; i < schedule.instances.size(); ++i) {
      if (schedule.instances[i].iteration == number) layers.push_back(i);
    }
    if (layers.size() < stages) {
      return fail(fmt::format("--pipeline {}: a step has only {} layers that repeat", stages,
                              layers.size()));
    }
    const auto first_of = [&](uint32_t of) { return layers[of * layers.size() / stages]; };
    const bool first = stage == 0;
    const bool last = stage + 1 == stages;
    StagePart part;
    part.forward.begin = first ? step.begin : schedule.instances[first_of(stage)].begin;
    part.forward.end = last ? step.backward : schedule.instances[first_of(stage + 1)].begin;
    part.backward.begin = last ? step.backward : backward[first_of(stage + 1) - 1];
    part.backward.end = first ? step.optimizer : backward[first_of(stage) - 1];
    part.optimizer = {step.optimizer, std::min(step.end, last_event)};
    for (Range* range : {&part.forward, &part.backward, &part.optimizer}) {
      range->begin = whole_stride(range->begin);
      range->end = whole_stride(range->end);
      if (range->end < range->begin) {
        return fail("--pipeline: backward does not come to the layers in their reverse order");
      }
    }
    parts.push_back(part);
  }
  return parts;
}

class PipelineStage {
 public:
  PipelineStage(Schedule& schedule, std::vector<StagePart> parts, const Pipeline& how,
                uint32_t stage)
      : schedule_(schedule), parts_(std::move(parts)), how_(how), stage_(stage) {
    find_used();
    result_.iterations.clear();
  }

  void run() {
    const TrainedParameters trained(schedule_);
    for (const uint32_t parameter : trained.all()) {
      if (used_[parameter]) continue;
      for (const uint32_t kept : trained.kept_for(parameter)) elsewhere_.insert(kept);
    }
    now_ = parts_.front().forward.begin;
    if (stage_ != 0) now_ = whole_stride(schedule_.iterations.front().begin);
    const auto setup = static_cast<size_t>(now_ / Schedule::kStride);
    event_ns_.assign(schedule_.event_ns.begin(),
                     schedule_.event_ns.begin() +
                         static_cast<std::ptrdiff_t>(std::min(setup, schedule_.event_ns.size())));
    for (uint32_t i = 0; i < schedule_.blocks.size(); ++i) {
      const ScheduledBlock& block = schedule_.blocks[i];
      const bool of_other_stage =
          block.category == Category::kParameter && block.trained && !used_[i];
      if (block.iteration != 0 || of_other_stage) continue;
      blocks_.push_back(block);
      if (block.end >= now_) blocks_.back().end = ScheduledBlock::kForever;
    }
    for (uint32_t step = 1; step <= parts_.size(); ++step) add_step(step);
    std::ranges::stable_sort(blocks_, {}, &ScheduledBlock::begin);
    schedule_.blocks = std::move(blocks_);
    schedule_.iterations = std::move(result_.iterations);
    schedule_.event_ns = std::move(event_ns_);
    schedule_.instances.clear();
    schedule_.work.clear();
    schedule_.work_blocks.clear();
  }

 private:
  // By work of this stage's forward or backward.
  void find_used() {
    used_.resize(schedule_.blocks.size());
    for (const DeviceWork& work : schedule_.work) {
      if (work.iteration == 0) continue;
      const StagePart& part = parts_[work.iteration - 1];
      const bool forward = work.phase == Phase::kForward && part.forward.has(work.position);
      const bool backward = work.phase == Phase::kBackward && part.backward.has(work.position);
      if (!forward && !backward) continue;
      for (const uint32_t i : schedule_.blocks_of(work)) used_[i] = true;
    }
  }

  // Puts a part of the recorded step behind what there is; returns where it begins.
  int64_t put(const Range& range) {
    const int64_t at = now_;
    const auto begin = static_cast<size_t>(range.begin / Schedule::kStride);
    const auto end =
        std::min(static_cast<size_t>(range.end / Schedule::kStride), schedule_.event_ns.size());
    const int64_t later = event_ns_.empty() || begin >= end
                              ? 0
                              : std::max<int64_t>(event_ns_.back() - schedule_.event_ns[begin], 0);
    for (size_t i = begin; i < end; ++i) event_ns_.push_back(schedule_.event_ns[i] + later);
    // One more: what other stages hand over has a moment of its own.
    event_ns_.push_back(event_ns_.empty() ? 0 : event_ns_.back());
    now_ += range.end - range.begin + Schedule::kStride;
    return at;
  }

  struct Microbatch {
    int64_t forward = 0;
    int64_t backward = 0;
  };

  void add_step(uint32_t number) {
    const StagePart& part = parts_[number - 1];
    ScheduledStep step;
    step.begin = now_;
    std::vector<Microbatch> batches(how_.microbatches);
    const uint32_t ahead = std::min(how_.stages - stage_ - 1, how_.microbatches);
    uint32_t forward = 0;
    uint32_t backward = 0;
    const auto go_forward = [&] { batches[forward++].forward = put(part.forward); };
    const auto go_backward = [&] {
      if (backward == 0) step.backward = now_;
      batches[backward++].backward = put(part.backward);
    };
    while (forward < ahead) go_forward();
    while (forward < how_.microbatches) {
      go_forward();
      go_backward();
    }
    while (backward < how_.microbatches) go_backward();
    step.optimizer = now_;
    const int64_t optimizer = put(part.optimizer);
    step.end = now_;
    step.begin_ns = event_ns_[std::min(static_cast<size_t>(step.begin / Schedule::kStride),
                                       event_ns_.size() - 1)];
    step.end_ns = event_ns_.back();
    for (uint32_t i = 0; i < schedule_.blocks.size(); ++i) {
      if (schedule_.blocks[i].iteration == number) add_block(i, part, batches, optimizer);
    }
    result_.iterations.push_back(step);
  }

  void add_block(uint32_t i, const StagePart& part, const std::vector<Microbatch>& batches,
                 int64_t optimizer) {
    const ScheduledBlock& block = schedule_.blocks[i];
    const auto in_optimizer = [&](int64_t position) {
      if (position == ScheduledBlock::kForever) return position;
      return optimizer + std::clamp<int64_t>(position - part.optimizer.begin, 0,
                                             part.optimizer.end - part.optimizer.begin);
    };
    ScheduledBlock copy = block;
    if (block.phase == Phase::kOptimizer || block.begin >= part.optimizer.begin) {
      if (elsewhere_.contains(i)) return;
      copy.begin = in_optimizer(block.begin);
      // A state lasts for all steps, though the program gave it back in the end.
      const bool lasts = block.category == Category::kOptimizerState && block.end > block.begin;
      copy.end = lasts ? ScheduledBlock::kForever : in_optimizer(block.end);
      if (copy.end > copy.begin) blocks_.push_back(copy);
      return;
    }
    if (block.category == Category::kWorkspace && block.end == ScheduledBlock::kForever) {
      copy.begin = batches.front().forward;
      blocks_.push_back(copy);
      return;
    }
    const bool mine = part.forward.has(block.begin) || part.backward.has(block.begin);
    const bool handed_over = used_[i] && block.begin < part.backward.end;
    if (!mine && !handed_over) return;
    for (size_t m = 0; m < batches.size(); ++m) {
      const bool starts_backward =
          block.begin >= part.forward.end &&
          (part.backward.has(block.begin) || block.phase == Phase::kBackward);
      const auto place = [&](int64_t position) {
        const int64_t length = part.backward.end - part.backward.begin;
        if (position >= part.backward.begin || starts_backward) {
          return batches[m].backward +
                 std::clamp<int64_t>(position - part.backward.begin, 0, length);
        }
        return batches[m].forward + std::clamp<int64_t>(position - part.forward.begin, 0,
                                                        part.forward.end - part.forward.begin);
      };
      copy = block;
      copy.origin = m == 0 ? block.origin : trace::AllocationId{};
      copy.begin = place(block.begin);
      if (block.category == Category::kGradient) {
        // The first stays until the optimizer; the others are added to it.
        copy.end = m == 0 ? in_optimizer(block.end) : copy.begin + Schedule::kStride;
      } else {
        copy.end = block.end == ScheduledBlock::kForever ? block.end : place(block.end);
      }
      if (copy.end > copy.begin) blocks_.push_back(copy);
    }
  }

  Schedule& schedule_;
  std::vector<StagePart> parts_;
  Pipeline how_;
  uint32_t stage_;
  std::vector<bool> used_;
  std::set<uint32_t> elsewhere_;  // gradients, states and scratch of other stages' parameters
  int64_t now_ = 0;
  std::vector<int64_t> event_ns_;
  std::vector<ScheduledBlock> blocks_;
  Schedule result_;
};

}  // namespace

Result<void> pipeline(Schedule& schedule, const Pipeline& how, uint32_t stage, Changes& changes) {
  if (auto known = need_work(schedule, "--pipeline"); !known) return known;
  if (how.stages < 2 || how.microbatches < 1 || stage >= how.stages) {
    return fail("--pipeline takes STAGES:MICROBATCHES, 2 stages or more and 1 microbatch or more");
  }
  if (schedule.instances.empty()) {
    return fail("--pipeline: no layers that repeat: the stacks show no modules of Python");
  }
  auto parts = parts_of(schedule, how.stages, stage);
  if (!parts) return tl::unexpected(parts.error());
  for (ScheduledBlock& block : schedule.blocks) {
    if (block.law == BatchLaw::kPerSample) scale_samples(block, 1.0 / how.microbatches);
  }
  PipelineStage(schedule, std::move(*parts), how, stage).run();
  const double stages = how.stages;
  const double microbatches = how.microbatches;
  changes.compute *= (microbatches + stages - 1) / (microbatches * stages);
  changes.assumptions.push_back(fmt::format(
      "{} stages with as many layers each, {} microbatches in the order of one forward, one "
      "backward: "
      "this is stage {}, which needs the most; the stages take as long as each other, and wait "
      "{:.0f} % "
      "of a step for the pipeline to fill and drain",
      how.stages, how.microbatches, stage + 1, 100 * (stages - 1) / (microbatches + stages - 1)));
  changes.unknown.emplace_back(
      "what smaller microbatches cost that fill the device less, what sending between stages "
      "takes, and "
      "NCCL's own buffers beside the pool");
  return {};
}

}  // namespace tidemark::analyzer
