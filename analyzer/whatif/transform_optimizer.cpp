#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

struct OptimizerModel {
  OptimizerKind kind;
  const char* name;
  const char* keeps;
  int states;          // as large as the parameter
  int states8;         // of one byte an element, each with its scales
  double temporaries;  // bytes at once for each byte of all parameters
  int largest;         // blocks at once as large as the largest parameter
};

// Temporaries as PyTorch 2.11's foreach implementations take them.
constexpr OptimizerModel kModels[] = {
    {OptimizerKind::kSgd, "SGD", "no state", 0, 0, 0, 0},
    {OptimizerKind::kMomentum, "SGD with momentum", "one state as large as it", 1, 0, 0, 0},
    {OptimizerKind::kAdam, "Adam", "two states as large as it", 2, 0, 1, 0},
    {OptimizerKind::kAdam8bit, "Adam with 8-bit states",
     "two states of 8 bits, with a scale for each 256 elements", 0, 2, 0, 4},
    {OptimizerKind::kAdafactor, "Adafactor",
     "a row and a column of each matrix, which are counted as none", 0, 0, 0, 3},
};

// The sizes of what lasts for a parameter, in the order in which it comes.
std::vector<uint64_t> states_for(const OptimizerModel& model, uint64_t parameter_bytes,
                                 uint32_t float_bytes) {
  std::vector<uint64_t> sizes(static_cast<size_t>(model.states), parameter_bytes);
  const uint64_t scales = (parameter_bytes / float_bytes + 255) / 256;
  for (int k = 0; k < model.states8; ++k) {
    sizes.push_back(256 * scales);
    sizes.push_back(4 * scales);
  }
  return sizes;
}

}  // namespace

Result<void> change_optimizer(Schedule& schedule, OptimizerKind optimizer, Changes& changes) {
  if (auto steps = need_steps(schedule, "--optimizer"); !steps) return steps;
  const OptimizerModel& model = *std::ranges::find(kModels, optimizer, &OptimizerModel::kind);
  std::vector<ScheduledBlock> added;
  const ScheduledStep first = schedule.iterations.front();
  int64_t at = first.optimizer;
  std::vector<uint64_t> parameters;
  uint64_t largest = 0;
  for (ScheduledBlock& block : schedule.blocks) {
    if (block.phase == Phase::kOptimizer) {
      block.end = block.begin;  // the recorded optimizer's own
      continue;
    }
    if (!block.trained) continue;
    parameters.push_back(block.bytes);
    largest = std::max(largest, block.bytes);
    for (const uint64_t bytes : states_for(model, block.bytes, schedule.float_bytes)) {
      ScheduledBlock state;
      state.bytes = bytes;
      state.begin = at++;
      state.phase = Phase::kOptimizer;
      state.category = Category::kOptimizerState;
      state.iteration = 1;
      added.push_back(state);
    }
  }
  for (size_t i = 0; i < schedule.iterations.size(); ++i) {
    const ScheduledStep& iteration = schedule.iterations[i];
    if (iteration.optimizer == iteration.end) continue;
    ScheduledBlock temporary;
    temporary.begin = iteration.optimizer + (int64_t{1} << 20);
    temporary.end = temporary.begin + 1;
    temporary.phase = Phase::kOptimizer;
    temporary.category = Category::kTemporary;
    temporary.iteration = static_cast<uint32_t>(i + 1);
    if (model.temporaries > 0) {
      // One for each parameter, all at once.
      for (const uint64_t bytes : parameters) {
        temporary.bytes = scaled(bytes, model.temporaries);
        added.push_back(temporary);
      }
    }
    temporary.bytes = largest;
    for (int k = 0; k < model.largest; ++k) added.push_back(temporary);
  }
  schedule.blocks.insert(schedule.blocks.end(), added.begin(), added.end());
  changes.assumptions.push_back(fmt::format(
      "{} in place of the recorded optimizer: for each parameter {}", model.name, model.keeps));
  return {};
}

}  // namespace tidemark::analyzer
