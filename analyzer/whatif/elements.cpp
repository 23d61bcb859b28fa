// What the elements of each block are, by the operator that made it. An operator with several
// results makes them one after the other: which one a block is shows in its size beside its
// neighbours'.
#include <algorithm>
#include <string_view>

#include "schedule_parts.h"

namespace tidemark::analyzer {
namespace {

class Elements {
 public:
  Elements(const Raw& raw, Schedule& schedule) : raw_(raw), schedule_(schedule) {}

  void assign() {
    find_attention();
    for (uint32_t i = 0; i < schedule_.blocks.size(); ++i) {
      schedule_.blocks[i].element = element_of(i);
      full_loss_ |= is(i, "_log_softmax") && facts(i).full_precision_loss;
    }
  }

 private:
  const StackFacts& facts(uint32_t i) const { return raw_.stacks[raw_.blocks[i].stack]; }
  bool is(uint32_t i, std::string_view operation) const { return facts(i).operation == operation; }
  // How many times as large as this block the other is; 0: it is of another call.
  double ratio(uint32_t i, uint32_t other) const {
    if (other >= schedule_.blocks.size() || !is(other, facts(i).operation)) return 0;
    return static_cast<double>(schedule_.blocks[other].bytes) /
           static_cast<double>(schedule_.blocks[i].bytes);
  }
  static bool near(double value, double wanted) {
    return value > 0.85 * wanted && value < 1.15 * wanted;
  }

  // Attention in parts ends with a product that is as large as the queries; what is larger than
  // that, there and in its backward, holds a number for each pair of positions.
  void find_attention() {
    uint64_t result = 0;
    for (uint32_t i = 0; i < schedule_.blocks.size(); ++i) {
      if (!facts(i).attention_in_parts) continue;
      if (is(i, "bmm"))
        result =
            result == 0 ? schedule_.blocks[i].bytes : std::min(result, schedule_.blocks[i].bytes);
    }
    if (result == 0) return;
    for (uint32_t i = 0; i < schedule_.blocks.size(); ++i) {
      schedule_.blocks[i].in_attention = facts(i).attention_in_parts;
      const std::string& node = facts(i).node;
      const bool part = facts(i).attention_in_parts || node == "BmmBackward0" ||
                        node == "SoftmaxBackward0" || node == "SafeSoftmaxBackward0";
      schedule_.blocks[i].attention_pairs = part && schedule_.blocks[i].bytes > result + result / 2;
    }
  }

  ElementKind element_of(uint32_t i) const {
    const std::string& operation = facts(i).operation;
    // A bit a byte: dropout's mask comes before its result.
    if (operation == "native_dropout" && near(ratio(i, i + 1), 4)) return ElementKind::kOther;
    if (operation == "_cudnn_init_dropout_state") return ElementKind::kOther;
    // Indices of 8 bytes come after the result.
    if (operation == "max_pool2d_with_indices" && i > 0 && near(ratio(i, i - 1), 0.5)) {
      return ElementKind::kOther;
    }
    // Mean and deviation of each row are full floats, after the result.
    if (operation == "native_layer_norm" &&
        ((i > 0 && ratio(i, i - 1) > 16) || (i > 1 && ratio(i, i - 2) > 16))) {
      return ElementKind::kFullFloat;
    }
    // Of attention kernels: what softmax leaves of each row, and random state.
    if (operation == "_efficient_attention_forward" && i > 0 && ratio(i, i - 1) > 8) {
      return ElementKind::kFullFloat;
    }
    // In lower precision its place is taken by the sum in full precision of the queries' gradient.
    if (facts(i).node == "ScaledDotProductEfficientAttentionBackward0" &&
        operation == "mul_Tensor") {
      return ElementKind::kFullFloat;
    }
    if (schedule_.blocks[i].category == Category::kInput) return ElementKind::kOther;
    if (schedule_.blocks[i].category == Category::kWorkspace) return ElementKind::kOther;
    if (facts(i).rotary) return ElementKind::kFullFloat;
    if (facts(i).full_precision_loss && operation == "_log_softmax") return ElementKind::kFullFloat;
    if (full_loss_ &&
        (facts(i).node == "NllLossBackward0" || facts(i).node == "LogSoftmaxBackward0")) {
      return ElementKind::kFullFloat;
    }
    return ElementKind::kFloat;
  }

  const Raw& raw_;
  Schedule& schedule_;
  bool full_loss_ = false;  // a library's loss function works in full precision
};

}  // namespace

void assign_elements(const Raw& raw, Schedule& schedule) { Elements(raw, schedule).assign(); }

}  // namespace tidemark::analyzer
