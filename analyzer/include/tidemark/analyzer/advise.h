// What to change so that a program fits: plans of checkpoints, and combinations of changes that fit
// into a capacity, cheapest in time first. Each is predicted with whatif.h, none is guessed. Pure;
// any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/whatif.h"

namespace tidemark::analyzer {

struct Advice {
  WhatIf what;
  // The changes of code to make, one each.
  std::vector<std::string> changes;
  Prediction prediction;
};

struct AdviceList {
  static constexpr size_t kMost = 5;
  uint64_t capacity = 0;
  Prediction untouched;
  Fit fits_untouched{};
  // That fit, the cheapest in time first. None is another with something on top.
  std::vector<Advice> choices;
  // Where nothing fits: what needs least.
  std::optional<Advice> least;
  // Factors of the recorded batch: the largest that fits, as the program is and with choices[0].
  double largest_batch = 0;
  double largest_batch_with_choice = 0;
};

// Fails where the schedule shows no training steps.
[[nodiscard]] Result<AdviceList> advise(const Schedule& schedule, uint64_t capacity);

}  // namespace tidemark::analyzer
