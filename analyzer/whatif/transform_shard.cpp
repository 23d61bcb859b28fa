// Several ranks, each with the recorded batch: parameters, gradients and optimizer states in parts,
// as PyTorch's fully_shard (FSDP2, 2.11) has them on each layer and on the model.
//
//   unit k (a layer)     forward                      backward
//   gathered, one piece  [k begins … k+1 has its own] [k+1 begins … copied apart]   stream of its
//   own parameters whole     [k begins … k ends]          [k begins … k done] gradients whole [made
//   … copied together] copied together                                   [k done … k-1 done] part
//   of the sum                                   [k done … gradients are dropped]   stream of its
//   own
//
// The model's own unit, what is in no layer, stays whole from forward to the end of backward.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

constexpr uint32_t kGatherStream = 1;
constexpr uint32_t kReduceStream = 2;
// Before the event at a position, and before what other changes put there.
constexpr int64_t kAhead = Schedule::kStride / 4 * 3;

// What is gathered and scattered together: the parameters of one layer, or all that are in none
// (0).
struct Unit {
  std::vector<uint32_t> parameters;
  uint64_t bytes = 0;
};

// Trained or frozen; statistics and the like are buffers, which stay whole.
bool is_sharded(const ScheduledBlock& block) {
  return block.trained ||
         (block.category == Category::kParameter && block.element == ElementKind::kFloat &&
          block.iteration == 0 && block.end == ScheduledBlock::kForever);
}

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
      if (is_sharded(schedule.blocks[i])) {
        result.try_emplace(i, ordinal[schedule.blocks[newest].instance]);
      }
    }
  }
  return result;
}

// Where the layers of one step stand.
struct StepLayers {
  std::vector<int64_t> forward;   // where each begins, its parameters ahead of it
  std::vector<int64_t> end;       // of its forward
  std::vector<int64_t> backward;  // where its parameters are needed again
  std::vector<int64_t> done;      // and where its gradients are summed
  int64_t last = 0;               // where the model's own are
};

class Sharder {
 public:
  Sharder(Schedule& schedule, uint32_t world, bool reshard)
      : schedule_(schedule),
        world_(world),
        reshard_(reshard),
        backward_(backward_of_layers(schedule, uses_of(schedule))) {
    const auto layers = layers_of_parameters(schedule);
    size_t units = 1;
    for (const auto& [parameter, unit] : layers) units = std::max(units, unit + 1);
    units_.resize(units);
    for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
      if (!is_sharded(schedule.blocks[i])) continue;
      const auto found = layers.find(i);
      Unit& unit = units_[found == layers.end() ? 0 : found->second];
      unit.parameters.push_back(i);
      unit.bytes += schedule.blocks[i].bytes;
    }
    gradients_.resize(schedule.iterations.size() + 1);
    for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
      const ScheduledBlock& block = schedule.blocks[i];
      if (block.category != Category::kGradient || block.iteration == 0) continue;
      gradients_[block.iteration].push_back(i);
    }
  }

  void run() {
    for (uint32_t step = 1; step <= schedule_.iterations.size(); ++step) add_step(step);
    cut_parameters();
    schedule_.blocks.insert(schedule_.blocks.end(), added_.begin(), added_.end());
  }

 private:
  uint64_t part(uint64_t bytes) const { return (bytes + world_ - 1) / world_; }

  void add(ScheduledBlock block) {
    if (block.bytes > 0 && block.end > block.begin) added_.push_back(block);
  }
  ScheduledBlock communication(uint64_t bytes, int64_t begin, int64_t end, uint32_t step,
                               Phase phase) const {
    ScheduledBlock block;
    block.bytes = bytes;
    block.begin = begin;
    block.end = end;
    block.iteration = step;
    block.phase = phase;
    block.category = Category::kCommunication;
    return block;
  }
  void add_gathered(const Unit& unit, int64_t begin, int64_t end, uint32_t step, Phase phase) {
    ScheduledBlock block = communication(unit.bytes, begin, end, step, phase);
    block.stream = kGatherStream;
    add(block);
  }
  void add_whole(const Unit& unit, int64_t begin, int64_t end, uint32_t step, Phase phase) {
    for (const uint32_t i : unit.parameters) {
      add(communication(schedule_.blocks[i].bytes, begin, end, step, phase));
    }
  }

  // A model is put on the device whole, and cut unit by unit, the layers first.
  void cut_parameters() {
    int64_t at = schedule_.iterations.front().begin - kAhead - int64_t{4} * kMostUnits;
    const auto cut = [&](const Unit& unit) {
      for (const uint32_t i : unit.parameters) {
        ScheduledBlock& block = schedule_.blocks[i];
        ScheduledBlock whole = beside(block, block.bytes, block.begin, at + 1);
        whole.category = Category::kParameter;
        add(whole);
        block.begin = std::max(at, block.begin);
        block.bytes = part(block.bytes);
      }
      at += 2;
    };
    for (size_t k = 1; k < units_.size(); ++k) cut(units_[k]);
    cut(units_[0]);
  }

  StepLayers layers_of(uint32_t number) const {
    const ScheduledStep& step = schedule_.iterations[number - 1];
    StepLayers layers;
    layers.last = step.optimizer - Schedule::kStride / 2;
    for (size_t i = 0; i < schedule_.instances.size(); ++i) {
      const ModuleInstance& layer = schedule_.instances[i];
      if (layer.iteration != number || layers.forward.size() + 1 == units_.size()) continue;
      layers.forward.push_back(layer.begin - kAhead);
      layers.end.push_back(layer.end + 1);
      layers.backward.push_back(std::min(backward_[i], layers.last + kAhead) - kAhead);
    }
    // Backward comes to them in their reverse order.
    layers.done.resize(layers.backward.size());
    int64_t behind = step.backward;
    for (size_t k = layers.backward.size(); k-- > 0;) {
      behind = layers.backward[k] = std::max(layers.backward[k], behind + kBetween);
    }
    for (size_t k = 0; k < layers.done.size(); ++k) {
      layers.done[k] = k == 0 ? layers.last - kBetween : layers.backward[k - 1] - kBetween / 2;
    }
    return layers;
  }

  // Of a layer those gradients that are made while backward is at it and are as large as one of its
  // parameters; of the model's own unit, which comes last, what is left.
  std::vector<uint32_t> take_gradients(const Unit& unit, int64_t begin, int64_t end,
                                       uint32_t number) {
    std::vector<uint64_t> sizes;
    for (const uint32_t i : unit.parameters) {
      if (schedule_.blocks[i].trained) sizes.push_back(schedule_.blocks[i].bytes);
    }
    std::vector<uint32_t> taken;
    std::erase_if(gradients_[number], [&](uint32_t i) {
      const ScheduledBlock& gradient = schedule_.blocks[i];
      if (gradient.begin < begin || gradient.begin >= end) return false;
      const auto size = std::ranges::find(sizes, gradient.bytes);
      if (size == sizes.end()) return false;
      sizes.erase(size);
      taken.push_back(i);
      return true;
    });
    return taken;
  }

  void add_step(uint32_t number) {
    const ScheduledStep& step = schedule_.iterations[number - 1];
    StepLayers layers = layers_of(number);
    const size_t count = layers.forward.size();
    const int64_t begin = step.begin - kAhead;
    // In forward a piece is kept until the next one has been asked for.
    add_gathered(units_[0], begin, count == 0 ? step.backward : layers.forward[0] + 1, number,
                 Phase::kForward);
    add_whole(units_[0], begin + 1, layers.last, number, Phase::kForward);
    for (size_t k = 0; k < count; ++k) {
      const Unit& unit = units_[k + 1];
      add_gathered(unit, layers.forward[k],
                   k + 1 < count ? layers.forward[k + 1] + 1 : step.backward, number,
                   Phase::kForward);
      add_whole(unit, layers.forward[k] + 1, reshard_ ? layers.end[k] : layers.done[k], number,
                Phase::kForward);
    }
    for (size_t k = count; k-- > 0;) {
      const Unit& unit = units_[k + 1];
      const auto made = take_gradients(unit, layers.backward[k],
                                       k == 0 ? step.optimizer : layers.backward[k - 1], number);
      if (k == 0 && !made.empty()) layers.done[0] = schedule_.blocks[made.back()].begin + kBetween;
      if (reshard_) {
        // The next one is asked for as soon as this one is whole.
        const int64_t asked = k + 1 < count ? layers.backward[k + 1] + 2 : step.backward;
        add_gathered(unit, asked, layers.backward[k] + 1, number, Phase::kBackward);
        add_whole(unit, layers.backward[k], layers.done[k], number, Phase::kBackward);
      }
      const int64_t next = k > 0 ? layers.done[k - 1] : layers.last;
      scatter(made, layers.done[k], next, number);
    }
    scatter(gradients_[number], layers.last, layers.last + kBetween, number);
  }

  // Gradients are whole until their unit is done; they are copied together to be summed, and what
  // this rank has of the sum is theirs in one piece.
  void scatter(const std::vector<uint32_t>& gradients, int64_t at, int64_t next, uint32_t number) {
    uint64_t sum = 0;
    int64_t end = 0;
    for (const uint32_t i : gradients) {
      ScheduledBlock& gradient = schedule_.blocks[i];
      if (gradient.begin >= at) continue;
      sum += gradient.bytes;
      end = std::max(end, gradient.end);
      gradient.end = std::min(gradient.end, at + 1);
    }
    add(communication(sum, at, std::max(next, at + 2), number, Phase::kBackward));
    ScheduledBlock kept = communication(part(sum), at + 1, end, number, Phase::kBackward);
    kept.stream = kReduceStream;
    kept.category = Category::kGradient;
    add(kept);
  }

  static constexpr int64_t kBetween = 64;
  static constexpr int64_t kMostUnits = int64_t{1} << 20;
  Schedule& schedule_;
  uint32_t world_;
  bool reshard_;
  std::vector<int64_t> backward_;  // of each of Schedule::instances
  std::vector<Unit> units_;
  std::vector<std::vector<uint32_t>> gradients_;  // of each step, not taken yet
  std::vector<ScheduledBlock> added_;
};

}  // namespace

Result<void> shard_fully(Schedule& schedule, uint32_t stage, uint32_t world, Changes& changes) {
  if (schedule.instances.empty()) {
    return fail("--zero 2 and 3: no layers that repeat, whose parameters are gathered together");
  }
  Sharder(schedule, world, stage == 3).run();
  // It works on parts alone.
  for (ScheduledBlock& block : schedule.blocks) {
    const bool scratch = block.phase == Phase::kOptimizer && block.iteration > 0;
    if (block.category == Category::kOptimizerState || scratch) {
      block.bytes = (block.bytes + world - 1) / world;
    }
  }
  changes.assumptions.push_back(fmt::format(
      "{} ranks, each with the recorded batch; fully_shard on each layer and on the model: "
      "parameters, gradients and states in {} parts, whole parameters {}; what is gathered and "
      "summed is on streams of its own",
      world, world,
      stage == 3 ? "only while their layer works"
                 : "from forward to the end of their layer's backward"));
  changes.unknown.emplace_back(
      "how long gathering and scattering takes beyond what kernels hide, and NCCL's own buffers "
      "beside the pool");
  return {};
}

}  // namespace tidemark::analyzer
