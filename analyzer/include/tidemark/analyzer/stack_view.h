// A call stack as someone wants to read it: the lines of their own program first of all, a few of
// the libraries between, and none of the allocator's. Pure; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "tidemark/trace/types.h"

namespace tidemark::analyzer {

enum class FrameRole : uint8_t {
  kInternal,  // allocators (pymalloc too), C and C++ runtime, Python's import machinery, our hooks
  kInterpreter,  // CPython's own code: internal where Python frames say the same, else a library
  kLibrary,      // installed libraries and packages: PyTorch, CUDA, the Python standard library
  kUser,         // all else
};

// By module, file and name alone, so that it holds on any machine.
FrameRole role_of(const trace::Frame& frame);

struct StackLine {
  trace::Frame frame;
  FrameRole role{};
  size_t hidden_before = 0;  // frames left out between the line above (or the top) and this one
};

struct StackView {
  std::vector<StackLine> lines;  // innermost first
  size_t hidden_after = 0;       // frames left out below the last line
};

// At most `max_lines` lines. Internal frames are shown only when there is nothing else. When there
// is not room for all: the three innermost library frames (what was asked for), then the innermost
// frames of the user (who asked), then whatever fits.
StackView view_stack(std::span<const trace::Frame> innermost_first, size_t max_lines);

}  // namespace tidemark::analyzer
