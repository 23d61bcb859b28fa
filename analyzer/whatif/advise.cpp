#include "tidemark/analyzer/advise.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <utility>

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
  Adviser(const Schedule& schedule, const PeakBytes& baseline, uint64_t capacity)
      : schedule_(schedule),
        baseline_(baseline),
        capacity_(capacity),
        steps_(steps_for(schedule, capacity)) {}

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

  // Something that fits by less of the same, and not by checkpoints, takes no longer.
  bool more_than_needed(uint32_t set) const {
    return std::ranges::any_of(fits_, [&](const Found& found) {
      return (found.set & bit(kCheckpoint)) == 0 && (found.set & with_halves(set)) == found.set;
    });
  }

  void try_set(uint32_t set) {
    if (more_than_needed(set)) return;
    Advice advice;
    for (uint32_t i = 0; i < steps_.size(); ++i) {
      if ((set & bit(i)) == 0) continue;
      steps_[i].make(advice.what);
      advice.changes.push_back(steps_[i].change);
    }
    const bool checkpoints = (set & bit(kCheckpoint)) != 0;
    auto prediction = checkpoints ? with_fewest_layers(advice)
                                  : predict_beside(schedule_, baseline_, advice.what);
    if (!prediction) return;
    prediction->capacity = capacity_;
    advice.prediction = std::move(*prediction);
    if (fit_of(advice.prediction, capacity_) == Fit::kFits) {
      fits_.push_back({set, std::move(advice)});
    } else if (!least_ || advice.prediction.needed_bytes() < least_->prediction.needed_bytes()) {
      least_ = std::move(advice);
    }
  }

  static double needed(const Prediction& prediction) {
    return static_cast<double>(safe_pool_bytes(prediction));
  }
  double room_for(const Prediction& prediction) const {
    return static_cast<double>(capacity_) -
           static_cast<double>(prediction.beside_pool_bytes + kContextBytes);
  }

  // Computing as few layers again as it takes to fit, or, where not even all of them do, all.
  Result<Prediction> with_fewest_layers(Advice& advice) const {
    const auto plans = checkpoint_plans(schedule_, *advice.what.checkpoint);
    if (!plans) return tl::unexpected(plans.error());
    const auto with = [&](size_t k) {
      WhatIf what = advice.what;
      what.checkpoint = plans->plans[k];
      return predict_beside(schedule_, baseline_, what);
    };
    size_t enough = plans->plans.size() - 1;
    size_t too_few = 0;
    auto best = with(enough);
    if (!best) return best;
    if (fit_of(*best, capacity_) != Fit::kFits) {
      advice.what.checkpoint->fit.reset();
      return best;
    }
    // What is needed falls nearly as layers are added, but not always: of a schedule that is short
    // each plan is tried, of a long one where the line through two says, then what is beside it.
    constexpr size_t kShort = 100'000;
    const bool each = schedule_.blocks.size() <= kShort;
    double needs_too_few = 0;  // 0: not known
    while (enough - too_few > 1) {
      size_t next = each ? too_few + 1 : (enough + too_few) / 2;
      if (const double needs = needed(*best); !each && needs_too_few > needs) {
        const double share = (needs_too_few - room_for(*best)) / (needs_too_few - needs);
        const auto ahead = static_cast<size_t>(share * static_cast<double>(enough - too_few));
        next = std::clamp(too_few + ahead, too_few + 1, enough - 1);
      }
      auto tried = with(next);
      if (!tried) return tried;
      if (fit_of(*tried, capacity_) != Fit::kFits) {
        too_few = next;
        needs_too_few = needed(*tried);
        continue;
      }
      enough = next;
      best = std::move(tried);
    }
    best->planned_layers = plans->layers[enough];
    for (std::string& change : advice.changes) {
      if (change.starts_with("torch.utils.checkpoint")) {
        change += fmt::format(" for {} of {} layers", plans->layers[enough], plans->layers.back());
      }
    }
    return best;
  }

  const Schedule& schedule_;
  PeakBytes baseline_;
  uint64_t capacity_;
  std::vector<Step> steps_;
  std::vector<Found> fits_;
  std::optional<Advice> least_;
};

// The largest factor of the batch that fits, to 1 %, with all layers computed again where some are;
// 0: even a tenth does not. What is needed grows nearly as the batch does, so that few tries do.
class LargestBatch {
 public:
  LargestBatch(const Schedule& schedule, const PeakBytes& baseline, WhatIf what, uint64_t capacity)
      : schedule_(schedule), baseline_(baseline), what_(std::move(what)), capacity_(capacity) {
    if (what_.checkpoint) what_.checkpoint->fit.reset();
    own_ = what_.batch;
  }

  double find() {
    Try low = at(kLeast);
    if (!low.fits) return 0;
    Try high = at(1);
    while (high.fits && high.factor < kMost) {
      const double guess = std::clamp(1.02 * between(low, high), 1.1 * high.factor, kMost);
      low = std::exchange(high, at(guess));
    }
    if (high.fits) return kMost;
    // By turns what the line through both says, and the middle, where it is none.
    for (int i = 0; i < 12 && high.factor > 1.01 * low.factor; ++i) {
      const double room = (high.factor - low.factor) / 200;
      const double guess = i % 3 == 2 ? (low.factor + high.factor) / 2
                                      : between(low, high) + (i % 3 == 0 ? -room : room);
      Try tried = at(std::clamp(guess, low.factor + room, high.factor - room));
      (tried.fits ? low : high) = tried;
    }
    return low.factor;
  }

 private:
  static constexpr double kLeast = 0.1;
  static constexpr double kMost = 1024;
  struct Try {
    double factor = 0;
    double needs = 0;  // with its margin
    bool fits = false;
  };
  Try at(double factor) {
    what_.batch = own_ * factor;
    const auto prediction = predict_beside(schedule_, baseline_, what_);
    if (!prediction) return {factor, 0, false};
    const bool fits = fit_of(*prediction, capacity_) == Fit::kFits;
    needs_beside_ = static_cast<double>(prediction->beside_pool_bytes + kContextBytes);
    return {factor, static_cast<double>(safe_pool_bytes(*prediction)), fits};
  }
  // Where the line through both meets the capacity.
  double between(const Try& a, const Try& b) const {
    const double growth = (b.needs - a.needs) / (b.factor - a.factor);
    const double room = static_cast<double>(capacity_) - needs_beside_ - a.needs;
    return growth > 0 ? a.factor + room / growth : kMost;
  }

  const Schedule& schedule_;
  PeakBytes baseline_;
  WhatIf what_;
  uint64_t capacity_;
  double own_ = 1;
  double needs_beside_ = 0;
};

}  // namespace

Result<AdviceList> advise(const Schedule& schedule, uint64_t capacity) {
  if (auto steps = need_steps(schedule, "advise"); !steps) return tl::unexpected(steps.error());
  AdviceList list;
  list.capacity = capacity;
  auto untouched = predict(schedule, {});
  if (!untouched) return tl::unexpected(untouched.error());
  list.untouched = std::move(*untouched);
  list.fits_untouched = fit_of(list.untouched, capacity);
  const PeakBytes& baseline = list.untouched.baseline;
  list.largest_batch = LargestBatch(schedule, baseline, {}, capacity).find();
  if (list.fits_untouched == Fit::kFits) return list;
  Adviser adviser(schedule, baseline, capacity);
  adviser.try_sets(1);
  adviser.try_sets(2);
  if (!adviser.any_fits()) adviser.try_sets(3);
  list.choices = adviser.take();
  if (list.choices.empty()) {
    list.least = adviser.take_least();
  } else {
    list.largest_batch_with_choice =
        LargestBatch(schedule, baseline, list.choices.front().what, capacity).find();
  }
  return list;
}

}  // namespace tidemark::analyzer
