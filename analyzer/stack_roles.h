// What the frames of a stack say about whoever asked for memory or launched a kernel: the phase of
// training, the modules of the model around it, the library. Private to the analyzer. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tidemark/analyzer/structure.h"

namespace tidemark::analyzer {

// A module's forward, or a function of that name in a program without Python.
struct ModuleCall {
  std::string name;  // its class
  std::string function;
  std::string file;
  int32_t line = 0;        // that is being run
  uint64_t call_site = 0;  // hash of the program's own frames around it, with their lines
};

struct StackRole {
  std::optional<Phase> phase;  // absent: the frames do not tell
  Sureness sureness{};
  bool from_python = false;
  bool recomputed = false;   // forward again, within backward
  bool accumulates = false;  // a gradient that is added up
  bool workspace = false;    // scratch of a library
  bool communication = false;
  bool framework = false;  // PyTorch's or another framework's frames are in it
  // The same for stacks that differ only in how the interpreter and the allocator went about it:
  // CPython calls in other ways once it has seen a line some times.
  uint64_t identity = 0;
  bool interpreter = false;         // Python's own objects
  std::vector<ModuleCall> modules;  // outermost first
};

StackRole role_of_stack(std::span<const trace::Frame> innermost_first);

// "pt_autograd_0": PyTorch's threads that run the backward pass.
bool backward_thread(std::string_view name);

}  // namespace tidemark::analyzer
