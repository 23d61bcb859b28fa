#include "tidemark/analyzer/advise.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

#include "transform_parts.h"
#include "whatif_parts.h"

namespace tidemark::analyzer {
namespace {

// One change of code, and what of WhatIf it is.
struct Step {
  std::string change;
  std::function<void(WhatIf&)> make;
  uint32_t excludes = 0;  // bits of steps that it cannot be made with
};

enum : uint32_t { kSegments, kAutocast, kCheckpoint, kStates8, kHalves, kQuarters, kFused, kHost };
constexpr uint32_t bit(uint32_t step) { return uint32_t{1} << step; }

// In the order of the numbers above.
std::vector<Step> steps_for(const Schedule& schedule, uint64_t capacity) {
  const double states = TrainedParameters(schedule).state_ratio();
  const auto accumulate = [](uint32_t times) {
    return [times](WhatIf& what) {
      what.batch /= times;
      what.accumulate = times;
    };
  };
  std::vector<Step> steps{
      {"PYTORCH_ALLOC_CONF=expandable_segments:True in the environment",
       [](WhatIf& what) { what.allocator = "torch:expandable_segments:True"; }},
      {"with torch.autocast(\"cuda\", torch.bfloat16): around the forward pass and the loss",
       [](WhatIf& what) { what.autocast = Precision::kBfloat16; }},
      {"torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)",
       [capacity](WhatIf& what) {
         what.checkpoint.emplace();
         what.checkpoint->fit = capacity;
       }},
      {"an optimizer with 8-bit states (bitsandbytes.optim.AdamW8bit) in place of Adam",
       [](WhatIf& what) { what.optimizer = OptimizerKind::kAdam8bit; }},
      {"half the batch, and optimizer.step() after every second backward()", accumulate(2),
       bit(kQuarters) | bit(kFused)},
      {"a quarter of the batch, and optimizer.step() after every fourth backward()", accumulate(4),
       bit(kHalves) | bit(kFused)},
      {"optimizer.step() for each parameter in register_post_accumulate_grad_hook, and its grad "
       "set "
       "to None there",
       [](WhatIf& what) { what.fuse_backward = true; }, bit(kHalves) | bit(kQuarters)},
      {"the optimizer's states and step on the host (DeepSpeed's or torchao's CPU offload)",
       [](WhatIf& what) { what.offload = Offload::kOptimizer; }, bit(kStates8) | bit(kFused)}};
  constexpr double kTwoStates = 1.5;
  if (states < kTwoStates) steps[kStates8].make = nullptr;  // not Adam
  if (states == 0) steps[kHost].make = nullptr;
  if (schedule.instances.empty()) steps[kCheckpoint].make = nullptr;
  if (schedule.allocator != "torch") steps[kSegments].make = nullptr;
  return steps;
}

class Adviser {
 public:
  Adviser(const Schedule& schedule, uint64_t capacity)
      : schedule_(schedule), capacity_(capacity), steps_(steps_for(schedule, capacity)) {}

  // All sets of so many steps.
  void try_sets(size_t size) { extend(0, 0, size); }

  std::vector<Advice> take() {
    // Times that look alike when they are printed are alike.
    const auto key = [](const Found& found) {
      return std::pair(std::lround(100 * found.advice.prediction.time_ratio()),
                       std::popcount(found.set));
    };
    std::ranges::stable_sort(fits_, {}, key);
    std::vector<Advice> result;
    std::vector<uint32_t> taken;
    for (Found& found : fits_) {
      const uint32_t set = with_halves(found.set);
      const bool more_than_needed =
          std::ranges::any_of(taken, [&](uint32_t other) { return (other & set) == other; });
      if (more_than_needed || result.size() == AdviceList::kMost) continue;
      taken.push_back(found.set);
      result.push_back(std::move(found.advice));
    }
    return result;
  }
  bool any_fits() const { return !fits_.empty(); }
  std::optional<Advice> take_least() { return std::move(least_); }

 private:
  struct Found {
    uint32_t set = 0;
    Advice advice;
  };

  // A quarter of the batch is more than half of it.
  static uint32_t with_halves(uint32_t set) {
    return (set & bit(kQuarters)) != 0 ? set | bit(kHalves) : set;
  }

  void extend(uint32_t set, uint32_t from, size_t left) {
    if (left == 0) return try_set(set);
    for (uint32_t i = from; i < steps_.size(); ++i) {
      const bool allowed = steps_[i].make && (steps_[i].excludes & set) == 0;
      if (allowed) extend(set | bit(i), i + 1, left - 1);
    }
  }

  void try_set(uint32_t set) {
    Advice advice;
    for (uint32_t i = 0; i < steps_.size(); ++i) {
      if ((set & bit(i)) == 0) continue;
      steps_[i].make(advice.what);
      advice.changes.push_back(steps_[i].change);
    }
    auto prediction = predict(schedule_, advice.what);
    const bool checkpoints = (set & bit(kCheckpoint)) != 0;
    if (!prediction && checkpoints) {  // no plan fits: then all layers, to say what that needs
      advice.what.checkpoint->fit.reset();
      prediction = predict(schedule_, advice.what);
    }
    if (!prediction) return;
    // Checkpoints that are not needed are another set's.
    if (checkpoints && !prediction->plans.empty() && prediction->planned_layers == 0) return;
    if (checkpoints && prediction->planned_layers > 0) {
      for (std::string& change : advice.changes) {
        if (change.starts_with("torch.utils.checkpoint")) {
          change += fmt::format(" for {} of {} layers", prediction->planned_layers,
                                prediction->plans.back().layers);
        }
      }
    }
    prediction->capacity = capacity_;
    advice.prediction = std::move(*prediction);
    if (fit_of(advice.prediction, capacity_) == Fit::kFits) {
      fits_.push_back({set, std::move(advice)});
    } else if (!least_ || advice.prediction.needed_bytes() < least_->prediction.needed_bytes()) {
      least_ = std::move(advice);
    }
  }

  const Schedule& schedule_;
  uint64_t capacity_;
  std::vector<Step> steps_;
  std::vector<Found> fits_;
  std::optional<Advice> least_;
};

// The largest factor of the batch that fits; 0: even a tenth does not.
double largest_batch(const Schedule& schedule, WhatIf what, uint64_t capacity) {
  const double own = what.batch;
  const auto fits = [&](double factor) {
    what.batch = own * factor;
    const auto prediction = predict(schedule, what);
    return prediction && fit_of(*prediction, capacity) == Fit::kFits;
  };
  constexpr double kLeast = 0.1;
  constexpr double kMost = 1024;
  if (!fits(kLeast)) return 0;
  double low = kLeast;
  double high = 1;
  while (high < kMost && fits(high)) {
    low = high;
    high *= 2;
  }
  for (int i = 0; i < 7; ++i) {
    const double middle = (low + high) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace

Result<AdviceList> advise(const Schedule& schedule, uint64_t capacity) {
  if (auto steps = need_steps(schedule, "advise"); !steps) return tl::unexpected(steps.error());
  AdviceList list;
  list.capacity = capacity;
  auto untouched = predict(schedule, {});
  if (!untouched) return tl::unexpected(untouched.error());
  list.untouched = std::move(*untouched);
  list.fits_untouched = fit_of(list.untouched, capacity);
  list.largest_batch = largest_batch(schedule, {}, capacity);
  if (list.fits_untouched == Fit::kFits) return list;
  Adviser adviser(schedule, capacity);
  adviser.try_sets(1);
  adviser.try_sets(2);
  if (!adviser.any_fits()) adviser.try_sets(3);
  list.choices = adviser.take();
  if (list.choices.empty()) {
    list.least = adviser.take_least();
  } else {
    list.largest_batch_with_choice = largest_batch(schedule, list.choices.front().what, capacity);
  }
  return list;
}

}  // namespace tidemark::analyzer
