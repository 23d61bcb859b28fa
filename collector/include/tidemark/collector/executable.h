// Finds the program that a command names, as execvp does, and says beforehand what the dynamic
// linker will make of it: whether injected libraries can be loaded at all.
#pragma once

#include <string>

#include "tidemark/collector/recorder.h"

namespace tidemark::collector {

enum class Injectable : uint8_t {
  kYes,
  kStatic,    // no dynamic linker
  kSetuid,    // the dynamic linker ignores LD_PRELOAD
  kForeign,   // for another processor or word size
  kValgrind,  // runs the program on a processor of its own, with its own malloc
};

struct Executable {
  std::string path;     // to execve
  std::string program;  // that runs in the end: the interpreter of a script
  Injectable injectable = Injectable::kYes;
};

// Errors: 127 no such command, 126 not executable.
[[nodiscard]] tl::expected<Executable, RecordError> find_executable(const std::string& command);

}  // namespace tidemark::collector
