// What the peak would be: a schedule, changed, replayed through an allocator model. Pure; any
// thread that owns the Reader.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/allocator_model.h"
#include "tidemark/analyzer/schedule.h"
#include "tidemark/analyzer/transforms.h"

namespace tidemark::analyzer {

struct WhatIf {
  double batch = 1;  // factor
  std::optional<CheckpointPlan> checkpoint;
  std::optional<Precision> precision;
  std::optional<Precision> autocast;
  std::optional<OptimizerKind> optimizer;
  uint32_t accumulate = 1;
  bool keep_gradients = false;
  std::string allocator;  // "": that of the schedule

  // Nothing of the schedule: recorded blocks are replayed as they are.
  bool changes_nothing() const {
    return batch == 1 && !checkpoint && !precision && !autocast && !optimizer && accumulate == 1 &&
           !keep_gradients;
  }
};

struct PeakBytes {
  uint64_t allocated = 0;  // blocks handed out
  uint64_t reserved = 0;   // held from the driver
};

struct Prediction {
  PeakBytes recorded;
  PeakBytes baseline;   // the untouched schedule, replayed
  PeakBytes predicted;  // the changed one
  Changes changes;
  uint64_t beside_pool_bytes = 0;     // what libraries have of the device beside the pool
  Capacity capacity;                  // that was asked about
  std::optional<PeakBytes> measured;  // of a run with the change

  // Of the changed step's time to the recorded one's.
  double time_ratio() const { return changes.compute * (1 + changes.extra_time); }
  // What a card must have for it, without the driver's own context.
  uint64_t needed_bytes() const { return predicted.reserved + beside_pool_bytes; }
};

enum class Fit : uint8_t { kFits, kTooCloseToTell, kDoesNotFit };
// A tenth of what the pool is predicted to reserve is left for the prediction's error, and 768 MiB
// for the driver's context (0.5 to 0.6 GiB on an H100 with PyTorch 2.11): within these it is too
// close.
[[nodiscard]] Fit fit_of(const Prediction& prediction, uint64_t capacity);

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
// Fails where a transform does, or the allocator's name is none.
[[nodiscard]] Result<Prediction> predict(const Schedule& schedule, const WhatIf& what);

}  // namespace tidemark::analyzer
