// Which operator of PyTorch a call stack is of. Phases, modules and libraries are the job of
// stack_roles. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tidemark/trace/types.h"

namespace tidemark::analyzer {

struct StackFacts {
  std::string operation;  // the outermost operator that says something: "native_layer_norm"
  std::string node;       // of autograd: "NativeLayerNormBackward0"
  bool full_precision_loss = false;  // within a loss that works on full floats
  bool rotary = false;               // positions' angles, which a library keeps in full floats
  bool transposed_weight = false;    // torch.nn.functional.linear
  bool attention_in_parts = false;   // matrix products and softmax instead of one fused kernel
};

StackFacts facts_of(std::span<const trace::Frame> innermost_first);

}  // namespace tidemark::analyzer
