// Changes of a schedule: what a training step would allocate with another batch, precision,
// optimizer, with checkpoints, … Each takes a schedule to a schedule, so they compose; each says
// what it assumes and what it costs in time. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/schedule.h"

namespace tidemark::analyzer {

// What a change is worth beside memory.
struct Changes {
  std::vector<std::string> assumptions;  // one sentence each
  std::vector<std::string> unknown;      // what is left out, since a trace cannot tell
  double compute = 1;     // of the recorded step's time, for the same work on the changed batch
  double extra_time = 0;  // further shares of the recorded step's time: recomputation, …
};

enum class Precision : uint8_t { kBfloat16, kFloat16 };

struct CheckpointPlan {
  std::string module;  // class; "": the layers that repeat
  uint32_t every = 1;  // of these, each k-th
};

enum class OptimizerKind : uint8_t { kSgd, kMomentum, kAdam, kAdam8bit, kAdafactor };

// Each fails in one line where the schedule does not show what it needs: no steps, no layers, ….
[[nodiscard]] Result<void> scale_batch(Schedule& schedule, double factor, Changes& changes);
[[nodiscard]] Result<void> checkpoint(Schedule& schedule, const CheckpointPlan& plan,
                                      Changes& changes);
[[nodiscard]] Result<void> lower_precision(Schedule& schedule, Precision precision,
                                           Changes& changes);
// Within torch.autocast: parameters and their like stay as they are.
[[nodiscard]] Result<void> autocast(Schedule& schedule, Precision precision, Changes& changes);
[[nodiscard]] Result<void> change_optimizer(Schedule& schedule, OptimizerKind optimizer,
                                            Changes& changes);
// Each step's forward and backward `times` times, with gradients added up.
[[nodiscard]] Result<void> accumulate(Schedule& schedule, uint32_t times, Changes& changes);
// zero_grad(set_to_none=False): gradients are never given back.
[[nodiscard]] Result<void> keep_gradients(Schedule& schedule, Changes& changes);

}  // namespace tidemark::analyzer
