// The environment variables through which a process and its children are recorded.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tidemark::preload {

struct ArenaAddress {
  char path[128];
  uint64_t nonce;
};
// From TIDEMARK_ARENA="<path>:<nonce in hex>"; an empty path when there is none.
ArenaAddress arena_address();

// Whether this program runs inside valgrind, which preloads libraries of its own.
bool under_valgrind();

// Keeps copies of our variables as they were when the process started, for children whose parent
// makes them a new environment.
void remember_environment();
// The same for a process that was attached to: its environment has none of them.
void invent_environment(const char* arena, const char* library);
// Whether that is the arena of the recording that this process is, or was, part of.
bool is_remembered_arena(const char* arena);
// arena_address() of a text that is not in the environment.
ArenaAddress parse_arena_address(const char* value);

// While attached: our variables stand in the process's own environment too, for the children that
// libc starts without a hooked call (system, popen). Replaces the array, changes none of the
// program's; takes no lock, as little as getenv does.
void extend_own_environment();
void restore_own_environment();

// An environment for a child: `environment` with our variables restored where it lacks them. Where
// the child could not load our library (it does not exist in its root), it is taken out instead, or
// the loader would complain in the program's output; the trace says that a process is missing.
// Needs no heap: works in a vfork child. Arrays live in the caller's frame:
//   ChildEnvironment child(environment, (char**)alloca(ChildEnvironment::room(environment)));
class ChildEnvironment {
 public:
  static size_t room(char* const* environment);  // bytes
  ChildEnvironment(char* const* environment, void* room);
  char* const* get() const { return result_; }
  // The program did not start after all: what was counted for it is taken back.
  void not_started() const;

 private:
  void without_library(char* const* environment, const char* preload, void* room);

  char* const* result_;
  bool counted_ = false;  // as not recorded
};

}  // namespace tidemark::preload
