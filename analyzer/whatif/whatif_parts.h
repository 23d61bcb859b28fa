// What predicting, planning and advising share.
#pragma once

#include <optional>
#include <vector>

#include "tidemark/analyzer/whatif.h"

namespace tidemark::analyzer {

// As change(), of a question whose checkpoints are planned already.
[[nodiscard]] Result<ChangedSchedule> change_planned(const Schedule& schedule, const WhatIf& what);

// Left for the driver's context, as fit_of says.
inline constexpr uint64_t kContextBytes = uint64_t{768} << 20;

// As predict(), where the untouched schedule was replayed before.
[[nodiscard]] Result<Prediction> predict_beside(const Schedule& schedule, const PeakBytes& baseline,
                                                const WhatIf& what, Capacity capacity = {});

struct AtPeak {
  PeakBytes peaks;
  PeakByCategory categories{};
};
[[nodiscard]] Result<AtPeak> replay_to_peak(const Schedule& schedule, const std::string& allocator);
// Which of several free blocks a large scratch fits into can decide whether the pool takes another
// segment of gigabytes, and how large it is is known to a few percent where its library chooses an
// algorithm anew. So the schedule is replayed again and again with scratches some percent larger or
// smaller: the mean of what is reserved then, and by which share the most is above it.
struct Spread {
  uint64_t reserved = 0;
  double above = 0;
};
// None: no library chooses anew.
[[nodiscard]] Result<std::optional<Spread>> spread_of(const Schedule& schedule,
                                                      const std::string& allocator);
// The smallest limit, to 0.4 %, within which the replay does not run out of memory; `unlimited`:
// its peaks without one. Before it gives up a pool gives back what it keeps, so this is less than
// what it reserves where nothing holds it.
[[nodiscard]] Result<uint64_t> least_pool_bytes(const Schedule& schedule,
                                                const std::string& allocator,
                                                const PeakBytes& unlimited);

// Plans of more and more layers, those that give most for their time first: of none, which is no
// plan, to all. Errors: no layers, or what kernels took is not known.
struct CheckpointPlans {
  std::vector<std::optional<CheckpointPlan>> plans;
  std::vector<size_t> layers;  // of each
};
[[nodiscard]] Result<CheckpointPlans> checkpoint_plans(const Schedule& schedule,
                                                       const CheckpointPlan& like);

struct CheckpointCurve {
  std::vector<CheckpointPoint> points;  // ascending in layers
  std::vector<std::optional<CheckpointPlan>> plans;
  double reserved_band = 0;  // of each
};
// With what.checkpoint's module and everything else that is asked for.
[[nodiscard]] Result<CheckpointCurve> plan_checkpoints(const Schedule& schedule,
                                                       const WhatIf& what);
// The first that fits with room for the error; each takes more time than those before.
std::optional<size_t> cheapest_fit(const CheckpointCurve& curve, uint64_t beside_pool_bytes,
                                   uint64_t capacity);

// Of each layer of the last step: what checkpointing it gives back, and takes.
struct LayerCost {
  uint64_t saved_bytes = 0;
  int64_t recompute_ns = 0;
};
std::vector<LayerCost> checkpoint_costs(const Schedule& schedule);

}  // namespace tidemark::analyzer
