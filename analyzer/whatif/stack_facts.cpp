#include "stack_facts.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace tidemark::analyzer {
namespace {

// "mul_Tensor" of "at::_ops::mul_Tensor::call(…)".
std::string_view operator_of(std::string_view function) {
  constexpr std::string_view kPrefix = "at::_ops::";
  const size_t at = function.find(kPrefix);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = function.substr(at + kPrefix.size());
  return rest.substr(0, rest.find("::"));
}

// Operators that only make or move memory for the one that called them.
bool only_makes_memory(std::string_view operation) {
  constexpr std::array<std::string_view, 10> kPrefixes = {
      "empty", "new_",       "resize",   "zeros", "full",
      "clone", "contiguous", "_to_copy", "to_",   "copy_"};
  return std::ranges::any_of(
      kPrefixes, [&](std::string_view prefix) { return operation.starts_with(prefix); });
}

// "NativeLayerNormBackward0" of "torch::autograd::generated::NativeLayerNormBackward0::apply(…)"
// and "…0_apply_functional(…)".
std::string_view node_of(std::string_view function) {
  constexpr std::string_view kPrefix = "torch::autograd::";
  if (!function.starts_with(kPrefix)) return {};
  std::string_view rest = function.substr(kPrefix.size());
  constexpr std::string_view kGenerated = "generated::";
  if (rest.starts_with(kGenerated)) rest.remove_prefix(kGenerated.size());
  const size_t end = std::min(rest.find("::apply("), rest.find("_apply_functional("));
  if (end == std::string_view::npos) return {};
  return rest.substr(0, end);
}

void read_native(const trace::Frame& frame, StackFacts& facts) {
  const std::string_view function = frame.function;
  if (const auto operation = operator_of(function); !operation.empty()) {
    facts.transposed_weight |= operation == "linear";
    facts.attention_in_parts |= operation.starts_with("_scaled_dot_product_attention_math");
    if (facts.operation.empty() || only_makes_memory(facts.operation)) facts.operation = operation;
    return;
  }
  if (facts.node.empty()) {
    if (const auto node = node_of(function); !node.empty()) {
      facts.node = node;
      return;
    }
  }
  if (function.find("_scaled_dot_product_attention_math") != std::string_view::npos) {
    facts.attention_in_parts = true;
  }
}

void read_python(const trace::Frame& frame, StackFacts& facts) {
  // Its losses of language models turn the logits into full floats first.
  if (frame.file.find("/transformers/loss/") != std::string::npos &&
      frame.function.ends_with("LMLoss")) {
    facts.full_precision_loss = true;
  }
  facts.rotary |= frame.function.ends_with("RotaryEmbedding.forward");
}

}  // namespace

StackFacts facts_of(std::span<const trace::Frame> innermost_first) {
  StackFacts facts;
  for (const trace::Frame& frame : innermost_first) {
    if (frame.kind == trace::FrameKind::kPython) {
      read_python(frame, facts);
    } else {
      read_native(frame, facts);
    }
  }
  return facts;
}

}  // namespace tidemark::analyzer
