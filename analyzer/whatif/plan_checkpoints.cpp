// Which layers to compute again. Those that give most bytes for the time they take come first:
// where layers are alike that is the best there is. Each plan is replayed, since what a plan saves
// at the peak is less than the sum of what its layers keep.
#include <algorithm>
#include <numeric>

#include "transform_parts.h"
#include "whatif_parts.h"

namespace tidemark::analyzer {
namespace {

// Of each layer of a step, in order.
std::vector<uint32_t> best_first(const std::vector<LayerCost>& costs) {
  std::vector<uint32_t> order(costs.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](uint32_t i) {
    return static_cast<double>(costs[i].saved_bytes) /
           static_cast<double>(std::max<int64_t>(costs[i].recompute_ns, 1));
  });
  return order;
}

bool fits(const CheckpointPoint& point, double band, uint64_t beside, uint64_t capacity) {
  Prediction prediction;
  prediction.changes.reserved_band = band;
  prediction.predicted = point.peaks;
  prediction.beside_pool_bytes = beside;
  return fit_of(prediction, capacity) == Fit::kFits;
}

}  // namespace

Result<CheckpointPlans> checkpoint_plans(const Schedule& schedule, const CheckpointPlan& like) {
  if (auto known = need_work(schedule, "--checkpoint auto"); !known) {
    return tl::unexpected(known.error());
  }
  const auto order = best_first(checkpoint_costs(schedule));
  if (order.empty()) {
    return fail("--checkpoint auto: no layers that repeat: the stacks show no modules of Python");
  }
  constexpr size_t kMostPlans = 24;
  const size_t count = std::min(order.size(), kMostPlans);
  CheckpointPlans result;
  CheckpointPlan plan = like;
  plan.fit.reset();
  for (size_t k = 0; k <= count; ++k) {
    const size_t layers = k * order.size() / count;
    plan.only.assign(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(layers));
    result.plans.push_back(layers > 0 ? std::optional(plan) : std::nullopt);
    result.layers.push_back(layers);
  }
  return result;
}

Result<CheckpointCurve> plan_checkpoints(const Schedule& schedule, const WhatIf& what) {
  auto plans = checkpoint_plans(schedule, what.checkpoint.value_or(CheckpointPlan{}));
  if (!plans) return tl::unexpected(plans.error());
  CheckpointCurve curve;
  WhatIf one = what;
  for (size_t k = 0; k < plans->plans.size(); ++k) {
    one.checkpoint = plans->plans[k];
    auto changed = change_planned(schedule, one);
    if (!changed) return tl::unexpected(changed.error());
    const std::string& allocator = one.allocator.empty() ? schedule.allocator : one.allocator;
    const auto replayed = replay_peaks(changed->schedule, allocator);
    if (!replayed) return tl::unexpected(replayed.error());
    const auto spread = spread_of(changed->schedule, allocator);
    if (!spread) return tl::unexpected(spread.error());
    PeakBytes peaks = replayed->value_or(PeakBytes{});
    curve.reserved_band = std::max(curve.reserved_band, changed->changes.reserved_band);
    if (*spread) {
      peaks.reserved = (*spread)->reserved;
      curve.reserved_band = std::max(curve.reserved_band, (*spread)->above);
    }
    const double time = changed->changes.compute * (1 + changed->changes.extra_time);
    curve.points.push_back({plans->layers[k], peaks, time});
  }
  curve.plans = std::move(plans->plans);
  return curve;
}

std::optional<size_t> cheapest_fit(const CheckpointCurve& curve, uint64_t beside_pool_bytes,
                                   uint64_t capacity) {
  for (size_t i = 0; i < curve.points.size(); ++i) {
    if (fits(curve.points[i], curve.reserved_band, beside_pool_bytes, capacity)) return i;
  }
  return std::nullopt;
}

}  // namespace tidemark::analyzer
