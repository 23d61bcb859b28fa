// What the peak would be: a schedule, changed, replayed through an allocator model. Pure; any
// thread that owns the Reader.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/allocator_model.h"
#include "tidemark/analyzer/schedule.h"
#include "tidemark/analyzer/transforms.h"

namespace tidemark::analyzer {

struct Quantization {
  std::optional<WeightBits> weights;
  bool optimizer = false;    // 8 bits
  bool activations = false;  // 8 bits, of what is saved
  bool gradients = false;    // 8 bits, between backward and the optimizer
};

struct Pruning {
  double share = 0;
  bool structured = false;
};

struct Sharding {
  uint32_t stage = 0;  // of ZeRO; 0: plain data parallelism
  uint32_t world = 0;  // ranks
};

enum class Offload : uint8_t { kActivations, kOptimizer, kParameters };

// The changes that are asked for, in the order in which they are made: model, precision, optimizer,
// memory, size, devices.
struct WhatIf {
  double batch = 1;     // factor
  double sequence = 1;  // factor
  std::optional<CheckpointPlan> checkpoint;
  std::optional<Precision> precision;
  std::optional<Precision> autocast;
  std::optional<OptimizerKind> optimizer;
  std::optional<Quantization> quantize;
  std::optional<Pruning> prune;
  std::optional<double> freeze;  // share of the layers
  std::optional<Sharding> shard;
  std::optional<Offload> offload;
  std::optional<Pipeline> pipeline;
  uint32_t tensor_parallel = 1;  // ranks
  uint32_t lora = 0;             // ranks of matrices; 0: none
  uint32_t low_rank = 0;
  uint32_t accumulate = 1;
  bool inference = false;
  bool fuse_backward = false;
  bool keep_gradients = false;
  std::string allocator;  // "": that of the schedule

  // Nothing of the schedule: recorded blocks are replayed as they are.
  bool changes_nothing() const {
    return batch == 1 && sequence == 1 && !checkpoint && !precision && !autocast && !optimizer &&
           !quantize && !prune && !freeze && !shard && !offload && !pipeline &&
           tensor_parallel == 1 && lora == 0 && low_rank == 0 && accumulate == 1 && !inference &&
           !fuse_backward && !keep_gradients;
  }
};

struct PeakBytes {
  uint64_t allocated = 0;  // blocks handed out
  uint64_t reserved = 0;   // held from the driver
};

// What is there when most is allocated, by Category, as it was asked for: without what the
// allocator adds to it.
using PeakByCategory = std::array<uint64_t, kCategories>;

// One plan of checkpoints.
struct CheckpointPoint {
  size_t layers = 0;  // that are computed again
  PeakBytes peaks;
  double time_ratio = 1;
};

struct Prediction {
  PeakBytes recorded;
  PeakBytes baseline;        // the untouched schedule, replayed
  PeakBytes predicted;       // the changed one
  PeakByCategory at_peak{};  // of the changed one
  Changes changes;
  uint64_t beside_pool_bytes = 0;  // what libraries have of the device beside the pool
  Capacity capacity;               // that was asked about
  // The smallest limit of the pool with which the replay still runs, where a capacity was asked
  // about: below what is reserved without one, since the pool gives back what it keeps.
  std::optional<uint64_t> least_pool_bytes;
  std::optional<PeakBytes> measured;  // of a run with the change
  std::optional<PeakByCategory> measured_at_peak;
  // Where checkpoints were planned: memory against time, and how many layers were chosen.
  std::vector<CheckpointPoint> plans;
  size_t planned_layers = 0;

  // Of the changed step's time to the recorded one's.
  double time_ratio() const { return changes.compute * (1 + changes.extra_time); }
  // What a card must have for it, without the driver's own context.
  uint64_t needed_bytes() const { return predicted.reserved + beside_pool_bytes; }
};

// Does not fit: even where the pool gives back what it keeps.
enum class Fit : uint8_t { kFits, kTooCloseToTell, kDoesNotFit };
// A tenth of what the pool is predicted to reserve (more where libraries may choose other
// algorithms: Changes::reserved_band) is left for the prediction's error, and 768 MiB
// for the driver's context (0.5 to 0.6 GiB on an H100 with PyTorch 2.11): within these it is too
// close.
[[nodiscard]] Fit fit_of(const Prediction& prediction, uint64_t capacity);
// The limit of the pool from which on fit_of says that it fits: what is reserved, and its margin.
[[nodiscard]] uint64_t safe_pool_bytes(const Prediction& prediction);

// Signed fractions: predicted / measured - 1. Of the change where something changed.
struct PredictionError {
  double peak_allocated = 0;
  double peak_reserved = 0;
  std::optional<double> change_allocated;
  std::optional<double> change_reserved;
};
// Only of a prediction that was measured.
[[nodiscard]] PredictionError error_of(const Prediction& prediction);

// The peaks of one replay; none: out of memory at the capacity.
[[nodiscard]] Result<std::optional<PeakBytes>> replay_peaks(const Schedule& schedule,
                                                            const std::string& allocator,
                                                            Capacity capacity = {});
// Fails where a transform does, the allocator's name is none, or no plan of checkpoints fits.
[[nodiscard]] Result<Prediction> predict(const Schedule& schedule, const WhatIf& what,
                                         Capacity capacity = {});
// The untouched schedule's, to hold a prediction against.
[[nodiscard]] Result<PeakByCategory> categories_at_peak(const Schedule& schedule);

struct ChangedSchedule {
  Schedule schedule;
  Changes changes;
};
// The schedule that predict() replays, for those that draw it: its blocks as they are requested,
// their times by Schedule::time_at. Fails where predict() does.
[[nodiscard]] Result<ChangedSchedule> change(const Schedule& schedule, const WhatIf& what);

}  // namespace tidemark::analyzer
