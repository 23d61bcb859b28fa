// The line of code that a stack is blamed on: the innermost of the user's own program; where there
// is none (the backward pass runs on a thread of its own), the innermost of a library that tells.
// Private to the analyzer. Pure; any thread.
#pragma once

#include <span>
#include <string>

#include "tidemark/trace/types.h"

namespace tidemark::analyzer {

struct CodeLine {
  std::string name;  // "train.py:63 train", "torch::autograd::generated::MmBackward0::apply"
  std::string file;  // "": not known
  int32_t line = 0;
  bool user = false;
  bool backward = false;  // what is meant is the backward pass of this line
};

CodeLine code_line(std::span<const trace::Frame> innermost_first);

}  // namespace tidemark::analyzer
