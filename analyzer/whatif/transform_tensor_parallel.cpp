// Megatron's way: of each layer's products the first has its weight's columns over the ranks, the
// one that takes what comes of it the rows; then the ranks' parts are summed up.
//
//   x whole ── W1 columns/N ── y /N ── f(y) /N ── W2 rows/N ── partial sums ── all-reduce ── z
//   whole
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

enum class Side : uint8_t { kColumns, kRows };

class TensorSplitter {
 public:
  TensorSplitter(Schedule& schedule, std::vector<WeightProduct> products)
      : schedule_(schedule), split_(schedule.blocks.size()), made_in_(schedule.blocks.size()) {
    for (const WeightProduct& product : products) product_of_.emplace(product.output, product);
    for (uint32_t w = 0; w < schedule.work.size(); ++w) {
      const auto blocks = schedule.blocks_of(schedule.work[w]);
      if (blocks.empty()) continue;
      const uint32_t newest = *std::ranges::max_element(blocks);
      for (const uint32_t i : blocks) {
        const bool first = made_in_[i] == 0;
        if (first || (i == newest && !made_as_newest_[i])) made_in_[i] = w + 1;
        if (i == newest) made_as_newest_[i] = true;
      }
    }
  }

  void find() {
    for (uint32_t i = 0; i < split_.size(); ++i) {
      const ScheduledBlock& block = schedule_.blocks[i];
      if (block.iteration == 0 || block.phase == Phase::kOptimizer) continue;
      split_[i] = block.phase == Phase::kForward ? forward(i) : backward(i);
    }
  }
  void apply(uint32_t world) {
    const TrainedParameters trained(schedule_);
    const auto part = [&](uint32_t i) {
      uint64_t& bytes = schedule_.blocks[i].bytes;
      bytes = (bytes + world - 1) / world;
    };
    for (const auto& [weight, side] : sides_) {
      for (const uint32_t kept : trained.kept_for(weight)) part(kept);
      part(weight);
    }
    for (uint32_t i = 0; i < split_.size(); ++i) {
      if (split_[i]) part(i);
    }
  }
  bool any() const { return !sides_.empty(); }
  size_t weights() const { return sides_.size(); }
  // The fewest rows or columns of them.
  double narrowest() const {
    double least = std::numeric_limits<double>::max();
    for (const auto& [output, product] : product_of_) {
      if (!sides_.contains(product.weight)) continue;
      least = std::min({least, std::round(product.inputs), std::round(product.outputs)});
    }
    return least;
  }
  // That are summed up over the ranks in the last step.
  uint64_t summed_bytes() const { return summed_bytes_; }
  bool is_divided(const DeviceWork& work) const {
    return std::ranges::any_of(schedule_.blocks_of(work),
                               [&](uint32_t i) { return split_[i] || sides_.contains(i); });
  }

 private:
  std::vector<uint32_t> sources(uint32_t i) const {
    std::vector<uint32_t> result;
    if (made_in_[i] == 0) return result;
    for (const uint32_t other : schedule_.blocks_of(schedule_.work[made_in_[i] - 1])) {
      if (other < i) result.push_back(other);
    }
    return result;
  }
  bool any_split(const std::vector<uint32_t>& of) const {
    return std::ranges::any_of(of, [&](uint32_t i) { return split_[i]; });
  }
  void note_sum(const ScheduledBlock& block) {
    if (block.iteration == schedule_.iterations.size()) summed_bytes_ += block.bytes;
  }

  bool forward(uint32_t i) {
    const auto product = product_of_.find(i);
    if (product != product_of_.end()) {
      const bool rows = split_[product->second.input];
      sides_.try_emplace(product->second.weight, rows ? Side::kRows : Side::kColumns);
      if (rows) note_sum(schedule_.blocks[i]);
      return !rows;
    }
    return schedule_.blocks[i].instance != 0 && any_split(sources(i));
  }
  bool backward(uint32_t i) {
    if (schedule_.blocks[i].category == Category::kGradient) return false;  // goes with its weight
    const auto from = sources(i);
    for (const uint32_t source : from) {
      const auto side = sides_.find(source);
      if (side == sides_.end()) continue;
      if (side->second == Side::kColumns) note_sum(schedule_.blocks[i]);
      return side->second == Side::kRows;
    }
    return any_split(from);
  }

  Schedule& schedule_;
  std::vector<bool> split_;        // of each block
  std::vector<uint32_t> made_in_;  // index of work + 1
  std::map<uint32_t, bool> made_as_newest_;
  std::map<uint32_t, WeightProduct> product_of_;  // by output
  std::map<uint32_t, Side> sides_;                // of each weight
  uint64_t summed_bytes_ = 0;
};

}  // namespace

Result<void> tensor_parallel(Schedule& schedule, uint32_t world, Changes& changes) {
  if (auto known = need_work(schedule, "--tensor-parallel"); !known) return known;
  if (world < 2) return fail("--tensor-parallel takes 2 ranks or more");
  auto products = products_of(schedule);
  TensorSplitter splitter(schedule, std::move(products));
  splitter.find();
  if (!splitter.any()) {
    return fail(
        "--tensor-parallel: no matrix products with weights within layers that repeat were "
        "recorded");
  }
  if (const double narrowest = splitter.narrowest(); world > narrowest) {
    return fail(
        fmt::format("--tensor-parallel {}: the narrowest of the layers' weights has only {:.0f} "
                    "rows or columns",
                    world, narrowest));
  }
  spare(
      schedule, [&](const DeviceWork& work) { return splitter.is_divided(work); }, 1 - 1.0 / world,
      changes);
  splitter.apply(world);
  // All-reduce in a ring: each rank sends and is sent (N - 1) / N of it twice.
  constexpr double kLink = 300e9;
  const double seconds =
      static_cast<double>(splitter.summed_bytes()) * 2 * (world - 1) / world / kLink;
  const ScheduledStep& step = schedule.iterations.back();
  const ScheduledStep& whole =
      schedule.iterations.size() > 1 ? schedule.iterations[schedule.iterations.size() - 2] : step;
  const double step_seconds = static_cast<double>(whole.end_ns - whole.begin_ns) / 1e9;
  if (step_seconds > 0) changes.extra_time += seconds / step_seconds;
  changes.assumptions.push_back(fmt::format(
      "{} ranks: {} weights of the layers by columns, then by rows, with their gradients and "
      "optimizer "
      "states; what is between the two is in parts, norms, residual sums, embeddings and the head "
      "are "
      "whole on each rank; {:.1f} MiB a step are summed up over the ranks at an assumed 300 GB/s "
      "({:.1f} ms, not hidden)",
      world, splitter.weights(), static_cast<double>(splitter.summed_bytes()) / (1 << 20),
      1e3 * seconds));
  changes.unknown.emplace_back(
      "how well narrower products fill the device, and NCCL's own buffers beside the pool");
  return {};
}

}  // namespace tidemark::analyzer
