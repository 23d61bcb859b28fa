#include <fmt/format.h>

#include <algorithm>

#include "reductions.h"
#include "transform_parts.h"

namespace tidemark::analyzer {

namespace {

bool chooses_algorithms(const Schedule& schedule) {
  return std::ranges::any_of(schedule.operations, [](const std::string& operation) {
    return operation.starts_with("cudnn_convolution");
  });
}

}  // namespace

Result<void> scale_batch(Schedule& schedule, double factor, Changes& changes) {
  if (auto steps = need_steps(schedule, "--batch"); !steps) return steps;
  const auto sums = row_sums(schedule);
  for (ScheduledBlock& block : schedule.blocks) {
    if (block.law == BatchLaw::kPerSample) scale_samples(block, factor);
  }
  scale_row_sums(schedule, sums, factor);
  changes.compute *= factor;
  schedule.chosen_anew |= factor != 1;
  if (chooses_algorithms(schedule)) {
    // Replays with other scratches reach as far (VGG-16, batch x 4 and x 8); measured were 11 %
    // more than predicted at most.
    changes.reserved_band = 0.3;
    changes.unknown.emplace_back(
        "cuDNN chooses its algorithms anew for another batch, with other workspaces: what is "
        "reserved is the mean of replays with workspaces up to 3 % larger or smaller, and can be "
        "30 % off");
  }
  if (factor < 1) {
    changes.unknown.emplace_back(
        "what smaller kernels cost that fill the device less; norms over the batch see less of it");
  }
  changes.assumptions.push_back(fmt::format(
      "{:.4g}x the batch: inputs, activations and their temporaries grow with it, parameters, "
      "gradients, "
      "optimizer states and copies of parameters do not; libraries choose the same algorithms",
      factor));
  return {};
}

Result<void> keep_gradients(Schedule& schedule, Changes& changes) {
  if (auto steps = need_steps(schedule, "--set-to-none=off"); !steps) return steps;
  for (ScheduledBlock& block : schedule.blocks) {
    if (block.category != Category::kGradient) continue;
    if (block.iteration == 1) {
      block.end = ScheduledBlock::kForever;
    } else {
      // Made, and added to the one that is there.
      block.end = block.begin + Schedule::kStride + 1;
      block.category = Category::kTemporary;
    }
  }
  changes.assumptions.emplace_back("gradients are zeroed, not given back, between steps");
  return {};
}

namespace {

// The times of the events of forward and backward come again for each micro-batch.
void repeat_times(Schedule& schedule, uint32_t times) {
  std::vector<int64_t> repeated;
  int64_t later = 0;
  size_t next = 0;
  const auto index = [&](int64_t position) {
    return std::min(static_cast<size_t>(position / Schedule::kStride), schedule.event_ns.size());
  };
  for (const ScheduledStep& step : schedule.iterations) {
    const size_t begin = index(step.begin);
    const size_t end = index(step.optimizer);
    if (begin >= end) continue;
    for (; next < end; ++next) repeated.push_back(schedule.event_ns[next] + later);
    const int64_t length = schedule.event_ns[end - 1] - schedule.event_ns[begin] + 1;
    for (uint32_t k = 1; k < times; ++k) {
      later += length;
      for (size_t i = begin; i < end; ++i) repeated.push_back(schedule.event_ns[i] + later);
    }
  }
  for (; next < schedule.event_ns.size(); ++next) {
    repeated.push_back(schedule.event_ns[next] + later);
  }
  schedule.event_ns = std::move(repeated);
}

}  // namespace

Result<void> accumulate(Schedule& schedule, uint32_t times, Changes& changes) {
  if (auto steps = need_steps(schedule, "--accumulate"); !steps) return steps;
  if (times < 1) return fail("--accumulate takes 1 or more");
  std::vector<ScheduledBlock> blocks;
  // Later events move back by what is put in before them.
  int64_t shift = 0;
  size_t next = 0;
  const auto moved = [](int64_t position, int64_t by) {
    return position == ScheduledBlock::kForever ? position : position + by;
  };
  std::vector<std::pair<int64_t, int64_t>> shifts;  // from this recorded position on
  for (const ScheduledStep& iteration : schedule.iterations) {
    const int64_t length = iteration.optimizer - iteration.begin;
    for (uint32_t k = 1; k < times; ++k) {
      for (; next < schedule.blocks.size() && schedule.blocks[next].begin < iteration.begin;
           ++next) {
      }
      for (size_t i = next;
           i < schedule.blocks.size() && schedule.blocks[i].begin < iteration.optimizer; ++i) {
        ScheduledBlock copy = schedule.blocks[i];
        if (copy.category == Category::kWorkspace) continue;
        const bool gradient = copy.category == Category::kGradient;
        const int64_t end = gradient ? copy.begin + Schedule::kStride + 1
                                     : std::min(copy.end, iteration.optimizer - 1);
        copy.begin += shift + length * k;
        copy.end = end + shift + length * k;
        copy.origin = {};
        blocks.push_back(copy);
      }
    }
    shift += length * (times - 1);
    shifts.emplace_back(iteration.optimizer, shift);
  }
  const auto shift_at = [&](int64_t position) {
    int64_t by = 0;
    for (const auto& [from, amount] : shifts) {
      if (position >= from) by = amount;
    }
    return by;
  };
  for (ScheduledBlock& block : schedule.blocks) {
    const int64_t begin = block.begin;
    block.begin = moved(begin, shift_at(begin));
    // What the first micro-batch leaves is gone before the next: its own names are reused.
    if (block.end != ScheduledBlock::kForever) block.end = moved(block.end, shift_at(block.end));
    if (block.iteration > 0 && block.phase != Phase::kOptimizer &&
        block.category != Category::kGradient && block.category != Category::kWorkspace &&
        block.end != ScheduledBlock::kForever) {
      const ScheduledStep& own = schedule.iterations[block.iteration - 1];
      const int64_t recorded_end = block.end - shift_at(own.optimizer);
      if (recorded_end >= own.optimizer) {
        block.end = own.optimizer - 1 + shift_at(begin);
      }
    }
  }
  schedule.blocks.insert(schedule.blocks.end(), blocks.begin(), blocks.end());
  repeat_times(schedule, times);
  changes.compute *= times;
  changes.assumptions.push_back(fmt::format(
      "{} micro-batches of the batch before each optimizer step; gradients are added up in place",
      times));
  return {};
}

}  // namespace tidemark::analyzer
