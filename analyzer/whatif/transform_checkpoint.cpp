#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "transform_parts.h"
#include "whatif_parts.h"

namespace tidemark::analyzer {
namespace {

// One layer in one step.
struct Layer {
  uint32_t iteration = 0;
  std::vector<uint32_t> blocks;                 // made in its forward, in order
  int64_t last_use = 0;                         // position of forward's last event of it
  int64_t backward = ScheduledBlock::kForever;  // as of backward_of_layers
};

std::vector<Layer> layers_of(const Schedule& schedule, const std::vector<Uses>& uses) {
  const auto backward = backward_of_layers(schedule, uses);
  std::vector<Layer> layers(schedule.instances.size());
  for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
    const ScheduledBlock& block = schedule.blocks[i];
    if (block.instance != 0) layers[block.instance - 1].blocks.push_back(i);
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i].iteration = schedule.instances[i].iteration;
    layers[i].last_use = schedule.instances[i].end;
    layers[i].backward = backward[i];
  }
  return layers;
}

// Of each block, where the last node of backward that uses it makes its last result: the work that
// follows its own with results of the same operator.
std::vector<int64_t> last_nodes(const Schedule& schedule) {
  std::vector<int64_t> result(schedule.blocks.size());
  uint32_t operation = 0;  // of the work behind
  int64_t node_end = 0;
  std::vector<int64_t> ends(schedule.work.size());
  for (size_t w = schedule.work.size(); w-- > 0;) {
    const DeviceWork& work = schedule.work[w];
    const auto blocks = schedule.blocks_of(work);
    if (blocks.empty()) continue;
    const uint32_t made = schedule.blocks[*std::ranges::max_element(blocks)].operation;
    if (made != operation || made == 0) node_end = work.position;
    operation = made;
    ends[w] = node_end;
  }
  for (size_t w = 0; w < schedule.work.size(); ++w) {
    if (schedule.work[w].phase != Phase::kBackward) continue;
    for (const uint32_t i : schedule.blocks_of(schedule.work[w])) result[i] = ends[w];
  }
  return result;
}

class Checkpointer {
 public:
  Checkpointer(Schedule& schedule, const std::vector<Uses>& uses)
      : schedule_(schedule), uses_(uses), released_(last_nodes(schedule)) {}

  // Returns the time that computing again takes.
  int64_t run(const Layer& layer, const std::vector<int64_t>& times) {
    uint32_t last_saved = 0;
    std::vector<bool> output(layer.blocks.size());
    for (size_t k = 0; k < layer.blocks.size(); ++k) {
      const uint32_t i = layer.blocks[k];
      output[k] = uses_[i].last_forward > layer.last_use;
      if (!output[k] && schedule_.blocks[i].saved) last_saved = static_cast<uint32_t>(k);
    }
    if (layer.backward == ScheduledBlock::kForever) return 0;
    // Just before the operator of backward that asks first takes its own memory.
    const int64_t recompute = layer.backward - Schedule::kStride / 2;
    const int64_t begin = schedule_.blocks[layer.blocks.front()].begin;
    const auto again_at = [&](int64_t position) {
      return recompute + (position - begin) / kSlower;
    };
    const int64_t stop = again_at(schedule_.blocks[layer.blocks[last_saved]].begin) + 1;
    int64_t recomputed_ns = 0;
    for (size_t k = 0; k < layer.blocks.size(); ++k) {
      if (k <= last_saved) recomputed_ns += times[layer.blocks[k]];
      ScheduledBlock& block = schedule_.blocks[layer.blocks[k]];
      const Uses& uses = uses_[layer.blocks[k]];
      if (k <= last_saved && !output[k]) {
        ScheduledBlock again = block;
        again.origin = {};
        again.begin = again_at(block.begin);
        if (!block.saved) {
          again.end = std::min(again_at(block.end), stop);
        } else if (uses.last_backward > 0) {
          // The node that unpacks it holds it alone, and no longer than it computes.
          again.end = std::min(block.end, released_[layer.blocks[k]] + 1);
        }
        if (again.end > again.begin) added_.push_back(again);
      }
      if (block.saved && !output[k]) {
        block.end = std::min(block.end, std::max(uses.last_forward, block.begin) + 2);
        block.saved = false;
      }
    }
    return recomputed_ns;
  }

  void finish() { schedule_.blocks.insert(schedule_.blocks.end(), added_.begin(), added_.end()); }

 private:
  // A layer's forward has far fewer than 2^20 events, all of which find room before one event.
  static constexpr int64_t kSlower = int64_t{1} << 21;
  Schedule& schedule_;
  const std::vector<Uses>& uses_;
  std::vector<int64_t> released_;
  std::vector<ScheduledBlock> added_;
};

// What forward's work took, by the newest block that it was handed: its result, as a rule.
std::vector<int64_t> forward_times(const Schedule& schedule) {
  std::vector<int64_t> times(schedule.blocks.size());
  for (const DeviceWork& work : schedule.work) {
    const auto blocks = schedule.blocks_of(work);
    if (work.phase != Phase::kForward || blocks.empty()) continue;
    times[*std::ranges::max_element(blocks)] += static_cast<int64_t>(
        static_cast<double>(work.left) * static_cast<double>(work.end_ns - work.start_ns));
  }
  return times;
}

}  // namespace

std::vector<LayerCost> checkpoint_costs(const Schedule& schedule) {
  const auto times = forward_times(schedule);
  const auto uses = uses_of(schedule);
  const auto layers = layers_of(schedule, uses);
  std::vector<LayerCost> costs;
  for (const Layer& layer : layers) {
    if (layer.iteration != schedule.iterations.size()) continue;
    LayerCost cost;
    for (const uint32_t i : layer.blocks) {
      cost.recompute_ns += times[i];
      const bool output = uses[i].last_forward > layer.last_use;
      if (schedule.blocks[i].saved && !output) cost.saved_bytes += schedule.blocks[i].bytes;
    }
    costs.push_back(cost);
  }
  return costs;
}

Result<void> checkpoint(Schedule& schedule, const CheckpointPlan& plan, Changes& changes) {
  if (auto steps = need_steps(schedule, "--checkpoint"); !steps) return steps;
  if (schedule.instances.empty()) {
    return fail("--checkpoint: no layers that repeat: the stacks show no modules of Python");
  }
  const auto uses = uses_of(schedule);
  const auto layers = layers_of(schedule, uses);
  const auto times = forward_times(schedule);
  Checkpointer checkpointer(schedule, uses);
  const auto last = static_cast<uint32_t>(schedule.iterations.size());
  int64_t recomputed_ns = 0;
  size_t count = 0;
  uint32_t ordinal = 0;  // within its step
  for (size_t i = 0; i < layers.size(); ++i) {
    if (i > 0 && layers[i].iteration != layers[i - 1].iteration) ordinal = 0;
    const uint32_t place = ordinal++;
    if (layers[i].blocks.empty() || place % plan.every != 0) continue;
    if (!plan.only.empty() && std::ranges::find(plan.only, place) == plan.only.end()) continue;
    const int64_t again_ns = checkpointer.run(layers[i], times);
    if (layers[i].iteration != last) continue;
    ++count;
    recomputed_ns += again_ns;
  }
  checkpointer.finish();
  int64_t busy_ns = 0;
  for (const DeviceWork& work : schedule.work) {
    if (work.iteration == last) busy_ns += work.end_ns - work.start_ns;
  }
  if (busy_ns > 0)
    changes.extra_time += static_cast<double>(recomputed_ns) / static_cast<double>(busy_ns);
  changes.assumptions.push_back(fmt::format(
      "{} layers of class {} keep their outputs and compute all else again in backward, "
      "torch.utils.checkpoint(use_reentrant=False)",
      count, schedule.instances.front().name));
  return {};
}

}  // namespace tidemark::analyzer
