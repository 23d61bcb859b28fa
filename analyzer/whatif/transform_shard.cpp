// Several ranks, each with the recorded batch: parameters, gradients and optimizer states in parts.
//
//   unit (a layer)          forward                      backward
//   parameters whole        [gather k-1 … layer k end]   [gather … layer k's backward end]
//   gradients whole                                      [made … reduced and scattered]
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

// What is gathered and scattered together: the parameters of one layer, or all that are in none
// (0).
struct Unit {
  std::vector<uint32_t> parameters;
  uint64_t bytes = 0;
};

// The layer, by its place within a step from 1, that first works on each parameter.
std::map<uint32_t, size_t> layers_of_parameters(const Schedule& schedule) {
  std::map<uint32_t, size_t> result;
  std::vector<size_t> ordinal(schedule.instances.size() + 1);
  size_t number = 0;
  for (size_t i = 0; i < schedule.instances.size(); ++i) {
    const bool first =
        i == 0 || schedule.instances[i].iteration != schedule.instances[i - 1].iteration;
    ordinal[i + 1] = number = first ? 1 : number + 1;
  }
  for (const DeviceWork& work : schedule.work) {
    const auto blocks = schedule.blocks_of(work);
    if (work.phase != Phase::kForward || work.iteration == 0 || blocks.empty()) continue;
    const uint32_t newest = *std::ranges::max_element(blocks);
    for (const uint32_t i : blocks) {
      if (schedule.blocks[i].trained) {
        result.try_emplace(i, ordinal[schedule.blocks[newest].instance]);
      }
    }
  }
  return result;
}

class Sharder {
 public:
  Sharder(Schedule& schedule, uint32_t world, bool reshard)
      : schedule_(schedule),
        world_(world),
        reshard_(reshard),
        trained_(schedule),
        backward_(backward_of_layers(schedule, uses_of(schedule))) {
    const auto layers = layers_of_parameters(schedule);
    size_t units = 1;
    for (const auto& [parameter, unit] : layers) units = std::max(units, unit + 1);
    units_.resize(units);
    for (const uint32_t i : trained_.all()) {
      const auto found = layers.find(i);
      Unit& unit = units_[found == layers.end() ? 0 : found->second];
      unit.parameters.push_back(i);
      unit.bytes += schedule.blocks[i].bytes;
    }
  }

  void run() {
    for (uint32_t step = 1; step <= schedule_.iterations.size(); ++step) add_step(step);
    for (const uint32_t i : trained_.all()) {
      schedule_.blocks[i].bytes = part(schedule_.blocks[i].bytes);
    }
    schedule_.blocks.insert(schedule_.blocks.end(), added_.begin(), added_.end());
  }

 private:
  uint64_t part(uint64_t bytes) const { return (bytes + world_ - 1) / world_; }

  void add(uint64_t bytes, int64_t begin, int64_t end, uint32_t step, Phase phase) {
    ScheduledBlock block;
    block.bytes = bytes;
    block.begin = begin;
    block.end = end;
    block.iteration = step;
    block.phase = phase;
    block.category = Category::kCommunication;
    if (bytes > 0 && end > begin) added_.push_back(block);
  }
  // Whole parameters from `begin` to `end`; they come in one piece and are then copied apart.
  void gather(const Unit& unit, int64_t begin, int64_t end, uint32_t step, Phase phase) {
    add(unit.bytes, begin - 2, begin, step, phase);
    for (const uint32_t i : unit.parameters) {
      add(schedule_.blocks[i].bytes, begin - 1, end, step, phase);
    }
  }

  void add_step(uint32_t number) {
    const ScheduledStep& step = schedule_.iterations[number - 1];
    gather(units_[0], step.begin, step.optimizer, number, Phase::kForward);
    std::vector<size_t> layers;
    for (size_t i = 0; i < schedule_.instances.size(); ++i) {
      if (schedule_.instances[i].iteration == number) layers.push_back(i);
    }
    for (size_t k = 0; k < layers.size() && k + 1 < units_.size(); ++k) {
      const Unit& unit = units_[k + 1];
      const ModuleInstance& layer = schedule_.instances[layers[k]];
      // Its backward ends where that of the layer before it begins.
      const int64_t back = std::min(backward_[layers[k]], step.optimizer - 2);
      const int64_t back_end =
          k == 0 ? step.optimizer : std::min(backward_[layers[k - 1]], step.optimizer);
      // The next layer is asked for while this one works.
      const int64_t ahead = k == 0 ? layer.begin : schedule_.instances[layers[k - 1]].begin;
      if (reshard_) {
        gather(unit, ahead, layer.end + 1, number, Phase::kForward);
        const int64_t early = k + 1 < layers.size() ? backward_[layers[k + 1]] : back;
        gather(unit, std::min(early, back), back_end, number, Phase::kBackward);
      } else {
        gather(unit, ahead, back_end, number, Phase::kForward);
      }
      scatter(unit, back_end, number);
    }
    scatter(units_[0], step.optimizer - 1, number);
  }
  // Gradients are whole until their unit is done; they are copied together to be reduced.
  void scatter(const Unit& unit, int64_t at, uint32_t number) {
    uint64_t sum = 0;
    for (const uint32_t parameter : unit.parameters) {
      for (const uint32_t i : trained_.gradients_of(parameter)) {
        ScheduledBlock& gradient = schedule_.blocks[i];
        if (gradient.iteration != number || gradient.begin >= at) continue;
        sum += gradient.bytes;
        ScheduledBlock kept = beside(gradient, part(gradient.bytes), at, gradient.end);
        kept.category = Category::kGradient;
        added_.push_back(kept);
        gradient.end = at + 1;
      }
    }
    add(sum, at, at + 2, number, Phase::kBackward);
  }

  Schedule& schedule_;
  uint32_t world_;
  bool reshard_;
  TrainedParameters trained_;
  std::vector<int64_t> backward_;  // of each of Schedule::instances
  std::vector<Unit> units_;
  std::vector<ScheduledBlock> added_;
};

void shard_optimizer(Schedule& schedule, uint32_t world) {
  for (ScheduledBlock& block : schedule.blocks) {
    const bool scratch = block.phase == Phase::kOptimizer && block.iteration > 0;
    if (block.category == Category::kOptimizerState || scratch) {
      block.bytes = (block.bytes + world - 1) / world;
    }
  }
}

}  // namespace

Result<void> data_parallel(Schedule& schedule, uint32_t world, Changes& changes) {
  if (auto steps = need_steps(schedule, "--data-parallel"); !steps) return steps;
  if (world < 2) return fail("--data-parallel takes 2 ranks or more");
  std::vector<ScheduledBlock> buckets;
  for (const ScheduledBlock& block : schedule.blocks) {
    if (!block.trained) continue;
    ScheduledBlock bucket;
    bucket.bytes = block.bytes;
    bucket.begin = schedule.iterations.front().begin - 1;
    bucket.category = Category::kCommunication;
    buckets.push_back(bucket);
  }
  schedule.blocks.insert(schedule.blocks.end(), buckets.begin(), buckets.end());
  changes.assumptions.push_back(fmt::format(
      "{} ranks, each with the recorded batch; DistributedDataParallel's buckets are as large as "
      "all gradients (gradient_as_bucket_view=False)",
      world));
  changes.unknown.emplace_back(
      "how long gradients are reduced behind backward, and NCCL's own buffers beside the pool");
  return {};
}

Result<void> shard(Schedule& schedule, uint32_t stage, uint32_t world, Changes& changes) {
  if (auto known = need_work(schedule, "--zero"); !known) return known;
  if (stage < 1 || stage > 3) return fail("--zero takes stage 1, 2 or 3");
  if (world < 2) return fail("--zero needs --world N with 2 ranks or more");
  if (stage == 1) {
    if (auto parallel = data_parallel(schedule, world, changes); !parallel) return parallel;
    shard_optimizer(schedule, world);
    changes.assumptions.push_back(
        fmt::format("each of {} ranks holds its part of the optimizer's states", world));
    return {};
  }
  if (schedule.instances.empty()) {
    return fail("--zero 2 and 3: no layers that repeat, whose parameters are gathered together");
  }
  Sharder(schedule, world, stage == 3).run();
  shard_optimizer(schedule, world);
  changes.assumptions.push_back(fmt::format(
      "{} ranks, each with the recorded batch; fully_shard on each layer and on the model: "
      "parameters, gradients and states in {} parts, whole parameters {}",
      world, world,
      stage == 3 ? "only while their layer or the one before it works"
                 : "from forward to the end of their layer's backward"));
  changes.unknown.emplace_back(
      "how long gathering and scattering takes beyond what kernels hide, and NCCL's own buffers "
      "beside the pool");
  return {};
}

}  // namespace tidemark::analyzer
