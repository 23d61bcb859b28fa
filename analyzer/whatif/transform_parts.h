// What several transforms share.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>

#include "tidemark/analyzer/transforms.h"

namespace tidemark::analyzer {

inline uint64_t scaled(uint64_t bytes, double factor) {
  return static_cast<uint64_t>(std::ceil(static_cast<double>(bytes) * factor));
}

// With so many times the samples.
inline void scale_samples(ScheduledBlock& block, double factor) {
  const uint64_t fixed = std::min(block.fixed_bytes, block.bytes);
  const uint64_t split = std::min(block.split_bytes, fixed);
  const uint64_t kept = factor > 1 ? scaled(split, 1 / factor) : split;
  block.bytes = fixed - split + kept + scaled(block.bytes - fixed, factor);
  block.fixed_bytes = fixed - split + kept;
  block.split_bytes = kept;
}

// In elements half as large.
inline void halve(ScheduledBlock& block) {
  const uint64_t raw = std::min(block.raw_bytes, block.bytes);
  const auto half = [&](uint64_t bytes) { return raw + (std::max(bytes, raw) - raw + 1) / 2; };
  block.bytes = half(block.bytes);
  if (block.fixed_bytes != 0) block.fixed_bytes = half(block.fixed_bytes);
  block.split_bytes =
      std::min(block.split_bytes, block.fixed_bytes - std::min(raw, block.fixed_bytes)) / 2;
}

inline Result<void> need_steps(const Schedule& schedule, const char* what) {
  if (!schedule.iterations.empty()) return {};
  return fail(std::string(what) +
              " needs training steps (forward, backward, optimizer), and the trace shows none; "
              "record with --stacks=all");
}

// Also what kernels were handed.
Result<void> need_work(const Schedule& schedule, const char* what);

// An empty lifetime is none.
inline void drop(ScheduledBlock& block) { block.end = block.begin; }

// A block of a transform's own that stands beside another.
ScheduledBlock beside(const ScheduledBlock& block, uint64_t bytes, int64_t begin, int64_t end);

// Where the passes of a block's step use it.
struct Uses {
  int64_t last_forward = 0;
  int64_t first_backward = ScheduledBlock::kForever;
  int64_t last_backward = 0;
};
std::vector<Uses> uses_of(const Schedule& schedule);

// Where backward first asks for what a layer saved, as of Schedule::instances; kForever: nowhere.
// Backward comes to the layers in their reverse order.
std::vector<int64_t> backward_of_layers(const Schedule& schedule, const std::vector<Uses>& uses);

// What of the last step's time on the device `counts` says yes to, as far as earlier changes left
// it. The whole of the recorded one is 1.
template <class Counts>
double share_of_step(const Schedule& schedule, const Counts& counts) {
  const auto last = static_cast<uint32_t>(schedule.iterations.size());
  int64_t whole = 0;
  double counted = 0;
  for (const DeviceWork& work : schedule.work) {
    if (work.iteration != last) continue;
    const int64_t time = work.end_ns - work.start_ns;
    whole += time;
    if (counts(work)) counted += static_cast<double>(time) * static_cast<double>(work.left);
  }
  return whole == 0 ? 0 : counted / static_cast<double>(whole);
}

// Of the work that `counts` says yes to a share is no longer done.
template <class Counts>
void spare(Schedule& schedule, const Counts& counts, double share, Changes& changes) {
  changes.extra_time -= share * share_of_step(schedule, counts);
  for (DeviceWork& work : schedule.work) {
    if (counts(work)) work.left *= static_cast<float>(1 - share);
  }
}

// A loss in full precision gives its gradient in it, which is then copied to the logits'
// precision: the block becomes the copy (its size is left to the caller), and the gradient itself
// is returned.
ScheduledBlock full_gradient_of_logits(Schedule& schedule, size_t block);

// In 16 bits: attention is cuDNN's where the card has it. Its result is laid out as its query is,
// so that what full floats had to copy into that order is the result itself.
void merge_copies_of_attention(Schedule& schedule);

// Partial sums over the rows of a matrix, in full floats, whatever is summed up (recorded on an
// H100, PyTorch 2.11).
bool is_reduction_scratch(const Schedule& schedule, size_t block);

// Matrix products, convolutions, attention and their nodes of backward.
bool is_product(std::string_view operation);

// A product of what a layer is given and a weight, in one step.
struct WeightProduct {
  uint32_t weight = 0;
  uint32_t input = 0;
  uint32_t output = 0;
  // Of the weight's matrix, from the sizes of what goes in and comes out.
  double inputs = 0;
  double outputs = 0;
};
// Within the layers, in order of time.
std::vector<WeightProduct> products_of(const Schedule& schedule);

// The layers' products on copies of 8 bits, in a schedule of 16-bit floats.
[[nodiscard]] Result<void> eight_bit_products(Schedule& schedule, Changes& changes);

// The trained parameters with what backward and the optimizer have for each: blocks of one kind
// pair up with parameters by their sizes, largest first.
class TrainedParameters {
 public:
  explicit TrainedParameters(const Schedule& schedule);
  std::span<const uint32_t> all() const { return parameters_; }
  // Gradients, states and temporaries of the optimizer.
  std::vector<uint32_t> kept_for(uint32_t parameter) const;
  std::vector<uint32_t> gradients_of(uint32_t parameter) const;
  // Bytes of optimizer states for each byte of the parameters.
  double state_ratio() const { return state_ratio_; }

 private:
  void pair(const Schedule& schedule, std::vector<uint32_t> blocks, bool gradients);
  std::vector<uint32_t> parameters_;  // largest first
  std::vector<std::vector<uint32_t>> gradients_;
  std::vector<std::vector<uint32_t>> of_optimizer_;
  double state_ratio_ = 0;
};

// Stages 2 and 3 of ZeRO; `stage` and `world` are checked.
[[nodiscard]] Result<void> shard_fully(Schedule& schedule, uint32_t stage, uint32_t world,
                                       Changes& changes);

}  // namespace tidemark::analyzer
