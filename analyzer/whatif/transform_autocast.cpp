// torch.autocast: parameters, gradients and optimizer states stay as they are; matrix products run
// in 16 bits on copies of what they are given.
//
//   full precision                         autocast
//   X 4n ── addmm(W 4m) ── Y 4n            X 4n ── copy 2n ┐
//   └ saved for backward                   W 4m ── copy 2m ┴ addmm ── Y 2n
//                                            the copies are saved, X is given back after forward
//
// Normalization, softmax and losses run in full precision, and copy what comes to them in 16 bits.
// All else works in the widest precision of what it is given.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>

#include "../names.h"
#include "reductions.h"
#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

enum class Kind : uint8_t { kHalf, kFull, kWidest, kNormalizesHalf };

// Autocast's lists for CUDA, as far as these operators make memory (PyTorch 2.11).
Kind kind_of(std::string_view operation) {
  static constexpr std::array<std::string_view, 17> kFull = {"native_layer_norm",
                                                             "_softmax",
                                                             "_log_softmax",
                                                             "nll_loss",
                                                             "pow_",
                                                             "rsqrt",
                                                             "exp",
                                                             "log",
                                                             "cumsum",
                                                             "cumprod",
                                                             "sum_",
                                                             "prod",
                                                             "norm",
                                                             "mse_loss",
                                                             "l1_loss",
                                                             "softplus",
                                                             "cosh"};
  static constexpr std::array<std::string_view, 3> kNorms = {"cudnn_batch_norm",
                                                             "native_batch_norm", "_batch_norm"};
  if (is_product(operation)) return Kind::kHalf;
  if (starts_with_any(operation, kNorms)) return Kind::kNormalizesHalf;
  return starts_with_any(operation, kFull) ? Kind::kFull : Kind::kWidest;
}

// These read 16 bits and write full floats themselves, as autocast asks them to.
bool copies_half(std::string_view operation) {
  static constexpr std::array<std::string_view, 6> kConvert = {"_softmax", "_log_softmax", "sum_",
                                                               "cumsum",   "cumprod",      "prod"};
  return !starts_with_any(operation, kConvert);
}

// Nodes of backward whose forward ran in full precision.
bool is_full_node(std::string_view operation) {
  static constexpr std::array<std::string_view, 3> kNodes = {"PowBack", "NativeLayerNormBack",
                                                             "NllLossBack"};
  return starts_with_any(operation, kNodes);
}

class Autocast {
 public:
  explicit Autocast(Schedule& schedule)
      : schedule_(schedule),
        half_(schedule.blocks.size()),
        made_by_(schedule.blocks.size()),
        used_by_(schedule.blocks.size()),
        replaced_(schedule.blocks.size()),
        raised_(schedule.blocks.size()),
        sums_(row_sums(schedule)) {
    for (uint32_t w = 0; w < schedule.work.size(); ++w) {
      const auto blocks = schedule.blocks_of(schedule.work[w]);
      if (blocks.empty()) continue;
      const uint32_t newest = *std::ranges::max_element(blocks);
      for (const uint32_t block : blocks) {
        if (block == newest || used_by_[block].empty()) made_by_[block].push_back(w);
        used_by_[block].push_back(w);
      }
    }
  }

  void run() {
    for (uint32_t i = 0; i < half_.size(); ++i) {
      const ScheduledBlock& block = schedule_.blocks[i];
      if (block.iteration == 0 || block.phase == Phase::kOptimizer) continue;
      if (block.phase == Phase::kForward) {
        forward(i);
      } else {
        backward(i);
      }
    }
    shorten_replaced();
    for (size_t i = 0; i < half_.size(); ++i) {
      if (half_[i]) halve(schedule_.blocks[i]);
    }
    schedule_.blocks.insert(schedule_.blocks.end(), added_.begin(), added_.end());
  }

 private:
  const std::string& operation(uint32_t i) const {
    return schedule_.operations[schedule_.blocks[i].operation];
  }
  bool computed(const ScheduledBlock& block) const {
    return block.element == ElementKind::kFloat && block.category != Category::kGradient &&
           block.category != Category::kParameter && block.category != Category::kInput &&
           block.bytes > kScalar;
  }
  bool is_weight(uint32_t i) const { return schedule_.blocks[i].category == Category::kParameter; }
  // Floats that a block was computed from, older than it.
  std::vector<uint32_t> sources(uint32_t i) const {
    std::vector<uint32_t> result;
    for (const uint32_t w : made_by_[i]) {
      for (const uint32_t other : schedule_.blocks_of(schedule_.work[w])) {
        const ScheduledBlock& block = schedule_.blocks[other];
        const bool image = block.category == Category::kInput && block.saved;
        const bool real = block.element != ElementKind::kOther || image;
        // Results of one call are no sources of each other.
        const bool beside = block.stack == schedule_.blocks[i].stack &&
                            block.iteration == schedule_.blocks[i].iteration &&
                            made_by_[other].front() == w;
        const bool sum = block.category == Category::kGradient;  // of a parameter: a result too
        if (other < i && !beside && !sum && real && block.bytes > kScalar &&
            std::ranges::find(result, other) == result.end()) {
          result.push_back(other);
        }
      }
    }
    return result;
  }
  bool any_full(std::span<const uint32_t> blocks, bool weights) const {
    return std::ranges::any_of(blocks,
                               [&](uint32_t i) { return !half_[i] && (weights || !is_weight(i)); });
  }

  void forward(uint32_t i) {
    ScheduledBlock& block = schedule_.blocks[i];
    if (block.attention_pairs) {
      block.end = block.begin;  // fused attention, which full precision did not get
      return;
    }
    const auto from = sources(i);
    const Kind kind = block.in_attention ? Kind::kHalf : kind_of(operation(i));
    const bool has_source = std::ranges::any_of(from, [&](uint32_t f) { return !is_weight(f); });
    if (kind == Kind::kHalf) {
      half_[i] = computed(block);
      if (half_[i]) {
        const bool full = any_full(from, false);
        for (const uint32_t source : from) {
          if (is_weight(source)) full_products_[source] = full;
          cast_down(source, i);
        }
      }
    } else if (kind == Kind::kFull) {
      for (const uint32_t source : from) {
        if (half_[source] && (copies_half(operation(i)) || explicit_full(i))) cast_up(source, i);
      }
    } else if (computed(block) && has_source) {
      const bool statistics = kind == Kind::kNormalizesHalf && much_smaller(i, from);
      half_[i] = !statistics && !any_full(from, kind == Kind::kWidest);
    }
  }

  // A library's loss turns the logits into full floats before autocast can.
  bool explicit_full(uint32_t i) const {
    return schedule_.blocks[i].element == ElementKind::kFullFloat;
  }
  bool much_smaller(uint32_t i, std::span<const uint32_t> than) const {
    return std::ranges::all_of(than, [&](uint32_t f) {
      return is_weight(f) || schedule_.blocks[i].bytes < schedule_.blocks[f].bytes / 8;
    });
  }

  // A copy of what a matrix product is given; of a weight only one in each forward pass.
  void cast_down(uint32_t source, uint32_t product) {
    const ScheduledBlock& block = schedule_.blocks[source];
    const ScheduledBlock& result = schedule_.blocks[product];
    if (half_[source] || block.attention_pairs || result.category == Category::kWorkspace) return;
    const uint32_t step = result.iteration;
    if (is_weight(source)) {
      const auto [copy, fresh] = weight_copies_.try_emplace({source, step}, 0);
      if (!fresh) return;
    } else {
      for (const uint32_t made : made_with_[source]) {
        if (same_call(made, product)) return;
      }
      made_with_[source].push_back(product);
      replaced_[source] = true;
    }
    const int64_t forward_end = schedule_.iterations[step - 1].backward;
    const int64_t used = last_product_use(source, step);
    int64_t end = std::max(used, result.begin + 1);
    if (is_weight(source)) end = std::max(end, forward_end);
    added_.push_back(beside(block, (block.bytes + 1) / 2, result.begin - 1, end));
    added_.back().iteration = step;
    added_.back().phase = Phase::kForward;
    if (is_weight(source)) added_.back().law = BatchLaw::kFixed;
  }

  // A product and the scratch of its library.
  bool same_call(uint32_t a, uint32_t b) const {
    const ScheduledBlock& first = schedule_.blocks[a];
    const ScheduledBlock& second = schedule_.blocks[b];
    return first.begin + 4 * Schedule::kStride > second.begin &&
           first.operation == second.operation &&
           schedule_.calls[first.stack] == schedule_.calls[second.stack];
  }

  // Where a matrix product of this step's backward pass last uses a block; 0: nowhere.
  int64_t last_product_use(uint32_t block, uint32_t step) const {
    int64_t last = 0;
    for (const uint32_t w : used_by_[block]) {
      const DeviceWork& work = schedule_.work[w];
      if (work.iteration == step && work.phase == Phase::kBackward && made_by_product(work)) {
        last = std::max(last, work.position + 1);
      }
    }
    return last;
  }
  bool made_by_product(const DeviceWork& work) const {
    return kind_of(made_in(work)) == Kind::kHalf;
  }
  // The operation that did it.
  const std::string& made_in(const DeviceWork& work) const {
    return operation(*std::ranges::max_element(schedule_.blocks_of(work)));
  }

  // A copy in full precision of what a norm or a loss is given.
  void cast_up(uint32_t source, uint32_t result_index) {
    const ScheduledBlock& block = schedule_.blocks[source];
    const ScheduledBlock& result = schedule_.blocks[result_index];
    int64_t end =
        result.begin + (operation(result_index) == "_log_softmax" ? 3 : 1) * Schedule::kStride;
    for (const uint32_t w : used_by_[source]) {
      const DeviceWork& work = schedule_.work[w];
      if (work.iteration == result.iteration && work.phase == Phase::kBackward &&
          is_full_node(made_in(work))) {
        end = std::max(end, work.position + 1);
      }
    }
    if (!cast_up_.insert({source, result.operation}).second) return;
    raised_[source] = true;
    added_.push_back(beside(block, block.bytes, result.begin - 1, end));
  }

  void backward(uint32_t i) {
    ScheduledBlock& block = schedule_.blocks[i];
    if (block.attention_pairs) {
      block.end = block.begin;
      return;
    }
    const Kind kind = kind_of(operation(i));
    if (block.category == Category::kGradient) {
      // Made in 16 bits, and copied to the parameter's precision.
      if (kind == Kind::kHalf && block.bytes > kScalar) {
        added_.push_back(beside(block, (block.bytes + 1) / 2, block.begin - 1, block.begin + 1));
      }
      return;
    }
    if (!computed(block) && !operation(i).starts_with("LogSoftmaxBack")) return;
    const auto from = sources(i);
    if (kind == Kind::kHalf) {
      const bool workspace = block.end <= block.begin + Schedule::kStride;
      // The gradient of what came in full precision is copied back to it.
      if (!workspace && came_full(from)) {
        added_.push_back(beside(block, (block.bytes + 1) / 2, block.begin - 1, block.begin + 1));
      } else {
        half_[i] = true;
      }
      return;
    }
    if (operation(i).starts_with("LogSoftmaxBack")) {
      if (explicit_full(i)) added_.push_back(full_gradient_of_logits(schedule_, i));
      half_[i] = true;
      return;
    }
    if (is_full_node(operation(i))) return;
    const bool has_source = std::ranges::any_of(from, [&](uint32_t f) { return !is_weight(f); });
    half_[i] = has_source && !any_full(from, false);
    if (sums_.contains(i) || is_reduction_scratch(schedule_, i)) half_[i] = false;
  }
  // The gradient's product was made with a weight, whose forward product was given floats.
  bool came_full(const std::vector<uint32_t>& from) const {
    return std::ranges::any_of(from, [&](uint32_t f) {
      if (!is_weight(f)) return replaced_[f];
      const auto products = full_products_.find(f);
      return products != full_products_.end() && products->second;
    });
  }

  // What only those saved that got a copy is given back after forward.
  void shorten_replaced() {
    for (uint32_t i = 0; i < half_.size(); ++i) {
      ScheduledBlock& block = schedule_.blocks[i];
      const bool copied = replaced_[i] || raised_[i];
      if (!copied || block.category == Category::kInput || !block.saved) continue;
      int64_t last = block.begin;
      bool others = false;
      for (const uint32_t w : used_by_[i]) {
        const DeviceWork& work = schedule_.work[w];
        if (work.phase == Phase::kForward) last = std::max(last, work.position);
        if (work.phase != Phase::kBackward) continue;
        const bool of_copy =
            (replaced_[i] && made_by_product(work)) || (raised_[i] && is_full_node(made_in(work)));
        others = others || !of_copy;
      }
      if (!others) block.end = std::min(block.end, last + 2);
    }
  }

  static constexpr uint64_t kScalar = 512;
  Schedule& schedule_;
  std::vector<bool> half_;                      // of each block
  std::vector<std::vector<uint32_t>> made_by_;  // work that has it first, or as its newest block
  std::vector<std::vector<uint32_t>> used_by_;
  std::vector<bool> replaced_;  // products got a copy in 16 bits
  std::vector<bool> raised_;    // what runs in full precision got a full copy
  const std::map<uint32_t, RowSum> sums_;
  std::map<std::pair<uint32_t, uint32_t>, int> weight_copies_;
  std::map<uint32_t, std::vector<uint32_t>> made_with_;
  std::map<uint32_t, bool> full_products_;  // of each weight: its product was given floats
  std::set<std::pair<uint32_t, uint32_t>> cast_up_;
  std::vector<ScheduledBlock> added_;
};

}  // namespace

Result<void> autocast(Schedule& schedule, Precision precision, Changes& changes) {
  if (auto known = need_work(schedule, "--autocast"); !known) return known;
  merge_copies_of_attention(schedule);
  Autocast(schedule).run();
  schedule.chosen_anew = true;
  // Measured: 10 % more than predicted (an LSTM with 4 times the batch), where copies come to lie.
  changes.reserved_band = std::max(changes.reserved_band, 0.15);
  changes.assumptions.push_back(fmt::format(
      "autocast to {}: matrix products, convolutions and attention work on 16-bit copies of their "
      "inputs and weights, which backward keeps; norms, softmax and losses in full precision; "
      "parameters, gradients and optimizer states stay 4 bytes an element",
      precision == Precision::kBfloat16 ? "bfloat16" : "float16"));
  changes.unknown.emplace_back(
      "how much faster 16-bit kernels are: step time is counted as if they took as long");
  return {};
}

}  // namespace tidemark::analyzer
