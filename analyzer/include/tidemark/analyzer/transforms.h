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
  double compute = 1;  // of the recorded step's time, for the same work on the changed batch
  // What the pool reserves may be off by this share, up and down.
  double reserved_band = 0.1;
  double extra_time = 0;  // further shares of the recorded step's time: recomputation, …
};

// kFloat8: matrix products of the layers on 8-bit copies, all else as kBfloat16.
enum class Precision : uint8_t { kBfloat16, kFloat16, kFloat8 };

struct CheckpointPlan {
  std::string module;  // class; "": the layers that repeat
  uint32_t every = 1;  // of these, each k-th
  // By their places in a step, from 0; empty: all of them.
  std::vector<uint32_t> only;
  // Only as many as it takes to fit into so many bytes, the cheapest first.
  std::optional<uint64_t> fit;
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
// Sequences of another length.
[[nodiscard]] Result<void> scale_sequence(Schedule& schedule, double factor, Changes& changes);
// The first layers, a share of them, and all before them learn nothing.
[[nodiscard]] Result<void> freeze(Schedule& schedule, double share, Changes& changes);
// Forward alone.
[[nodiscard]] Result<void> inference(Schedule& schedule, Changes& changes);
// The optimizer works in backward, and gives back each gradient at once.
[[nodiscard]] Result<void> fuse_backward(Schedule& schedule, Changes& changes);
// LoRA: all is frozen but matrices of this rank beside the layers' weights.
[[nodiscard]] Result<void> low_rank_adapters(Schedule& schedule, uint32_t rank, Changes& changes);
// Each weight of the layers as a product of two of this rank.
[[nodiscard]] Result<void> factor_weights(Schedule& schedule, uint32_t rank, Changes& changes);

struct WeightBits {
  uint32_t bits = 8;
  uint32_t group = 128;  // elements with one scale
};
[[nodiscard]] Result<void> quantize_weights(Schedule& schedule, const WeightBits& how,
                                            Changes& changes);
[[nodiscard]] Result<void> quantize_activations(Schedule& schedule, Changes& changes);
[[nodiscard]] Result<void> quantize_gradients(Schedule& schedule, Changes& changes);
// A share of each weight masked, or of the layers' inner width removed.
[[nodiscard]] Result<void> mask_weights(Schedule& schedule, double share, Changes& changes);
[[nodiscard]] Result<void> prune_widths(Schedule& schedule, double share, Changes& changes);
// Over several devices, of which this is one.
[[nodiscard]] Result<void> data_parallel(Schedule& schedule, uint32_t world, Changes& changes);
[[nodiscard]] Result<void> shard(Schedule& schedule, uint32_t stage, uint32_t world,
                                 Changes& changes);
// Each layer's products over so many ranks.
[[nodiscard]] Result<void> tensor_parallel(Schedule& schedule, uint32_t world, Changes& changes);

struct Pipeline {
  uint32_t stages = 0;
  uint32_t microbatches = 0;  // of a step
};
// What one stage, from 0, has of it. Nothing else can be changed of the result but its allocator.
[[nodiscard]] Result<void> pipeline(Schedule& schedule, const Pipeline& how, uint32_t stage,
                                    Changes& changes);
// What waits on the host.
[[nodiscard]] Result<void> offload_activations(Schedule& schedule, Changes& changes);
[[nodiscard]] Result<void> offload_optimizer(Schedule& schedule, Changes& changes);
[[nodiscard]] Result<void> offload_parameters(Schedule& schedule, Changes& changes);
// zero_grad(set_to_none=False): gradients are never given back.
[[nodiscard]] Result<void> keep_gradients(Schedule& schedule, Changes& changes);

// Each allocation's law from a second trace of the program, whose batch is `ratio` times the
// first's: a part that stays and one that follows the batch. Those that the second does not have
// keep theirs.
struct BatchFit {
  size_t fitted = 0;
  size_t unmatched = 0;
  size_t not_linear =
      0;  // that grow by more than the batch, or shrink: an algorithm was chosen anew
};
[[nodiscard]] Result<BatchFit> fit_batch(Schedule& schedule, const Schedule& other, double ratio);

}  // namespace tidemark::analyzer
