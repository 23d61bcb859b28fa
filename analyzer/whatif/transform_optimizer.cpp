#include <fmt/format.h>

#include <algorithm>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

struct OptimizerModel {
  OptimizerKind kind;
  const char* name;
  double states;       // bytes of lasting state for each byte of a parameter
  double temporaries;  // bytes at once for each byte of all parameters
  int largest;         // blocks at once as large as the largest parameter
};

// States: one (momentum) or two (Adam) of the parameter's size; of 8-bit Adam two bytes and two
// scales of 4 bytes for each 256 elements of 4 bytes. Temporaries as PyTorch 2.11's foreach
// implementations take them.
constexpr OptimizerModel kModels[] = {
    {OptimizerKind::kSgd, "SGD", 0, 0, 0},
    {OptimizerKind::kMomentum, "SGD with momentum", 1, 0, 0},
    {OptimizerKind::kAdam, "Adam", 2, 1, 0},
    {OptimizerKind::kAdam8bit, "Adam with 8-bit states", (2 + 2.0 * 4 / 256) / 4, 0, 4},
    {OptimizerKind::kAdafactor, "Adafactor", 0, 0, 3},
};

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
    if (model.states == 0) continue;
    ScheduledBlock state;
    state.bytes = scaled(block.bytes, model.states);
    state.begin = at++;
    state.phase = Phase::kOptimizer;
    state.category = Category::kOptimizerState;
    state.iteration = 1;
    added.push_back(state);
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
      "{}: {:.2f} bytes of state for each byte of the parameters", model.name, model.states));
  return {};
}

}  // namespace tidemark::analyzer
