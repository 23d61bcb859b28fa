// How stacks are named. A stack is a path in a tree of frames, outermost first; the id of a node is
// a hash of its caller's id and its own word, so that both sides of the wire, and all threads, give
// a stack the same name without asking each other, and what two stacks share is published once.
//
// A word is a return address, or, with bit 63 set, a Python frame.
#pragma once

#include <cstdint>

#include "tidemark/wire/records.h"

namespace tidemark::wire {

constexpr StackId mix_ids(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9fb21c651e98df25ULL;
  return hash ^ (hash >> 32);
}

// What stands in for the caller of an outermost frame. `unloads`: how many modules this process has
// unloaded so far; afterwards the same addresses may mean other code. `complete`: false when
// callers of the outermost frame are missing.
constexpr StackId stack_root(uint32_t unloads, bool complete) {
  return mix_ids(complete ? 0x7374616b20726f6fULL : 0x7374616b20637574ULL, unloads);
}

constexpr StackId stack_child(StackId caller, uint64_t word) { return mix_ids(caller, word); }

}  // namespace tidemark::wire
