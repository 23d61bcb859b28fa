// What a call stack says of an allocation or a kernel of PyTorch: which operator, which phase of
// the step, within which modules. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tidemark/analyzer/schedule.h"

namespace tidemark::analyzer {

struct StackFacts {
  std::string operation;   // the outermost operator that says something: "native_layer_norm"
  std::string node;        // of autograd: "NativeLayerNormBackward0"
  bool workspace = false;  // of a library's handle
  bool full_precision_loss = false;  // within a loss that works on full floats
  bool attention_in_parts = false;   // matrix products and softmax instead of one fused kernel
  std::vector<ForwardCall> modules;  // outermost first
};

StackFacts facts_of(std::span<const trace::Frame> innermost_first);

}  // namespace tidemark::analyzer
