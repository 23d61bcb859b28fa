// Several ranks, each with the recorded batch and the whole model: PyTorch's
// DistributedDataParallel (2.11), and ZeroRedundancyOptimizer within it.
//
//   model on the device | flat copies, broadcast | step 1: one bucket of all gradients | step 2 …:
//                         two at a time            buckets of 25 MiB, in the order of gradients
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

struct Piece {
  uint64_t bytes = 0;
  size_t blocks = 0;
};

// Each piece is closed by the block with which it is as large as `limit`, the first one by `first`.
std::vector<Piece> pieces(const Schedule& schedule, const std::vector<uint32_t>& blocks,
                          uint64_t first, uint64_t limit) {
  std::vector<Piece> result;
  Piece piece;
  for (const uint32_t i : blocks) {
    piece.bytes += schedule.blocks[i].bytes;
    ++piece.blocks;
    if (piece.bytes < (result.empty() ? first : limit)) continue;
    result.push_back(piece);
    piece = {};
  }
  if (piece.blocks > 0) result.push_back(piece);
  return result;
}

ScheduledBlock communication(uint64_t bytes, int64_t begin, int64_t end) {
  ScheduledBlock block;
  block.bytes = bytes;
  block.begin = begin;
  block.end = end;
  block.category = Category::kCommunication;
  return block;
}

// Parameters, and what is held beside them (statistics), are made the same on all ranks.
std::vector<uint32_t> broadcast_states(const Schedule& schedule) {
  std::vector<uint32_t> states;
  for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
    const ScheduledBlock& block = schedule.blocks[i];
    if (block.category == Category::kParameter && block.iteration == 0) states.push_back(i);
  }
  std::ranges::sort(states, {}, [&](uint32_t i) { return schedule.blocks[i].begin; });
  return states;
}

// In the order in which backward of the first step has their gradients. That of a linear layer's
// weight comes behind its bias's, though it is made first: it is still to be transposed.
std::vector<uint32_t> in_order_of_gradients(const Schedule& schedule,
                                            const TrainedParameters& trained) {
  struct Ready {
    uint32_t gradient = 0;
    uint32_t parameter = 0;
  };
  std::vector<Ready> ready;
  std::vector<uint32_t> without;
  const auto begin = [&](uint32_t i) { return schedule.blocks[i].begin; };
  for (const uint32_t parameter : trained.all()) {
    const auto gradients = trained.gradients_of(parameter);
    const auto first = std::ranges::min_element(gradients, {}, begin);
    if (first == gradients.end()) {
      without.push_back(parameter);
    } else {
      ready.push_back({*first, parameter});
    }
  }
  std::ranges::sort(ready, {}, [&](const Ready& one) { return begin(one.gradient); });
  const auto made_by = [&](const Ready& one) {
    return std::string_view(schedule.operations[schedule.blocks[one.gradient].operation]);
  };
  for (size_t i = 0; i + 1 < ready.size(); ++i) {
    if (made_by(ready[i]) != "AddmmBackward0" || !made_by(ready[i + 1]).starts_with("sum"))
      continue;
    std::swap(ready[i], ready[i + 1]);
    ++i;
  }
  std::vector<uint32_t> result;
  for (const Ready& one : ready) result.push_back(one.parameter);
  result.insert(result.end(), without.begin(), without.end());
  return result;
}

// What is the optimizer's, apart from gradients: its states, and its temporaries of each step.
std::vector<std::vector<uint32_t>> groups_of_optimizer(const Schedule& schedule) {
  std::vector<std::vector<uint32_t>> groups(schedule.iterations.size() + 1);
  for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
    const ScheduledBlock& block = schedule.blocks[i];
    if (block.end <= block.begin) continue;  // dropped by an earlier change
    if (block.category == Category::kOptimizerState) {
      groups[0].push_back(i);
    } else if (block.phase == Phase::kOptimizer && block.iteration > 0 &&
               block.category != Category::kGradient) {
      groups[block.iteration].push_back(i);
    }
  }
  for (auto& group : groups) {
    std::ranges::stable_sort(group, std::ranges::greater{},
                             [&](uint32_t i) { return schedule.blocks[i].bytes; });
  }
  return groups;
}

// Sizes of the parameters, largest first: of one state of each, where there are states; parameters
// themselves may lie in one block (cuDNN's recurrent weights).
std::vector<uint64_t> parameter_sizes(const Schedule& schedule, const TrainedParameters& trained,
                                      const std::vector<uint32_t>& states) {
  auto each = static_cast<size_t>(std::lround(trained.state_ratio()));
  // Of 8-bit states, and their scales, there are more than the ratio says.
  if (trained.state_ratio() < 0.9 && !trained.all().empty()) {
    each = states.size() % trained.all().size() == 0 ? states.size() / trained.all().size() : 0;
  }
  std::vector<uint64_t> sizes;
  if (each > 0 && !states.empty() && states.size() % each == 0) {
    for (size_t i = 0; i < states.size(); i += each) {
      sizes.push_back(schedule.blocks[states[i]].bytes);
    }
  } else {
    for (const uint32_t i : trained.all()) sizes.push_back(schedule.blocks[i].bytes);
  }
  return sizes;
}

// ZeroRedundancyOptimizer deals whole parameters out, the largest first, each to the rank that has
// the least. Which of them the rank gets that has the most in the end.
struct Dealt {
  std::vector<bool> own;
  double share = 1;
};
Dealt deal(const std::vector<uint64_t>& sizes, uint32_t world) {
  std::vector<uint64_t> bytes(world);
  std::vector<size_t> rank_of;
  for (const uint64_t size : sizes) {
    const auto least = std::ranges::min_element(bytes);
    rank_of.push_back(static_cast<size_t>(least - bytes.begin()));
    *least += size;
  }
  const auto fullest = std::ranges::max_element(bytes);
  Dealt dealt;
  for (const size_t rank : rank_of) {
    dealt.own.push_back(rank == static_cast<size_t>(fullest - bytes.begin()));
  }
  const uint64_t all = std::accumulate(bytes.begin(), bytes.end(), uint64_t{0});
  if (all > 0) dealt.share = static_cast<double>(*fullest) / static_cast<double>(all);
  return dealt;
}

}  // namespace

Result<void> data_parallel(Schedule& schedule, uint32_t world, Changes& changes) {
  if (auto steps = need_steps(schedule, "--data-parallel"); !steps) return steps;
  if (world < 2) return fail("--data-parallel takes 2 ranks or more");
  const TrainedParameters trained(schedule);
  std::vector<ScheduledBlock> added;
  const int64_t start = schedule.iterations.front().begin;
  int64_t at = start - Schedule::kStride / 2;
  // A single one is broadcast where it lies.
  auto flats = pieces(schedule, broadcast_states(schedule), 250 * kMiB, 250 * kMiB);
  std::erase_if(flats, [](const Piece& piece) { return piece.blocks < 2; });
  for (const Piece& flat : flats) {
    added.push_back(communication(flat.bytes, at, at + 3));
    at += 2;
  }
  at += 4;
  const bool rebuilt = schedule.iterations.size() > 1;
  const int64_t rebuild =
      rebuilt ? schedule.iterations[1].begin - Schedule::kStride / 2 : ScheduledBlock::kForever;
  const auto order = in_order_of_gradients(schedule, trained);
  const uint64_t all =
      std::accumulate(order.begin(), order.end(), uint64_t{0},
                      [&](uint64_t sum, uint32_t i) { return sum + schedule.blocks[i].bytes; });
  if (all > 0) added.push_back(communication(all, at, rebuild));
  if (rebuilt) {
    for (const Piece& bucket : pieces(schedule, order, kMiB, 25 * kMiB)) {
      added.push_back(communication(bucket.bytes, rebuild, ScheduledBlock::kForever));
    }
  }
  schedule.blocks.insert(schedule.blocks.end(), added.begin(), added.end());
  changes.assumptions.push_back(fmt::format(
      "{} ranks, each with the recorded batch; DistributedDataParallel's buckets are as large as "
      "all gradients (gradient_as_bucket_view=False)",
      world));
  changes.unknown.emplace_back(
      "how long gradients are reduced behind backward, and NCCL's own buffers beside the pool");
  return {};
}

// Stage 1.
Result<void> shard_optimizer(Schedule& schedule, uint32_t world, Changes& changes) {
  const TrainedParameters trained(schedule);
  const auto groups = groups_of_optimizer(schedule);
  const Dealt dealt = deal(parameter_sizes(schedule, trained, groups[0]), world);
  if (auto parallel = data_parallel(schedule, world, changes); !parallel) return parallel;
  for (const auto& group : groups) {
    // As many for each parameter, or it is not known whose they are.
    const bool even = !dealt.own.empty() && group.size() % dealt.own.size() == 0;
    for (size_t k = 0; k < group.size(); ++k) {
      ScheduledBlock& block = schedule.blocks[group[k]];
      if (!even) {
        block.bytes = scaled(block.bytes, dealt.share);
      } else if (!dealt.own[k * dealt.own.size() / group.size()]) {
        drop(block);
      }
    }
  }
  changes.assumptions.push_back(fmt::format(
      "ZeroRedundancyOptimizer gives each of {} ranks the states of whole parameters: the fullest, "
      "which is shown, holds {:.0f} % of them; DeepSpeed, which cuts parameters, {:.0f} %",
      world, 100 * dealt.share, 100.0 / world));
  return {};
}

Result<void> shard(Schedule& schedule, uint32_t stage, uint32_t world, Changes& changes) {
  if (auto known = need_work(schedule, "--zero"); !known) return known;
  if (stage < 1 || stage > 3) return fail("--zero takes stage 1, 2 or 3");
  if (world < 2) return fail("--zero needs --world N with 2 ranks or more");
  return stage == 1 ? shard_optimizer(schedule, world, changes)
                    : shard_fully(schedule, stage, world, changes);
}

}  // namespace tidemark::analyzer
