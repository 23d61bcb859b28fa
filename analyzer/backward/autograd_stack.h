// What the frames of a stack say about PyTorch's autograd: an operation of forward, or a node of
// backward. Private to the analyzer. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/trace/types.h"

namespace tidemark::analyzer {

struct AutogradStack {
  enum class Kind : uint8_t {
    kNone,
    kOperation,  // under a line of Python, outside of backward
    kNode,       // within a node of the graph
    kEngine,     // the engine itself, after a node: it sums up what goes to one place
  };
  Kind kind = Kind::kNone;
  // Of an operation: what it may be called, most telling first ("addmm", "add_Tensor").
  std::vector<std::string> operations;
  std::string node;     // "AddmmBackward0"; of the engine ""
  uint64_t python = 0;  // the same for stacks with the same lines of Python
  bool leaf = false;    // a node that collects the gradient of a parameter
};

AutogradStack autograd_stack(std::span<const trace::Frame> innermost_first);

// "NllLossBackward0" is made by "nll_loss_forward", "AddBackward0" by "add_Tensor" and
// "add__Tensor".
bool makes_node(std::string_view operation, std::string_view node);

}  // namespace tidemark::analyzer
