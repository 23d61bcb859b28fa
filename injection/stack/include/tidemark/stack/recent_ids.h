// Which of a thread's stacks have been published lately: what a training step or a loop allocates
// comes again and again, on some ten thousand different stacks. Looked up here, they cost a few
// nanoseconds; in the set that all threads share (seen_set.h), which holds a million, a miss of the
// cache and one of the TLB. What is not here may still be there.
//
// One owner thread; lives in zeroed memory, of which it touches what it uses.
#pragma once

#include <cstddef>

#include "tidemark/wire/stack_id.h"

namespace tidemark::stack {

class RecentIds {
 public:
  bool holds(wire::StackId id) const { return ids_[id % kPlaces] == (id ^ salt_); }
  void insert(wire::StackId id) { ids_[id % kPlaces] = id ^ salt_; }
  // Forgets all, without touching the memory: with another salt nothing that is there is meant.
  void clear() { salt_ = wire::mix_ids(salt_, 1); }

 private:
  static constexpr size_t kPlaces = size_t{1} << 14;  // 128 KB
  wire::StackId salt_;
  wire::StackId ids_[kPlaces];
};

}  // namespace tidemark::stack
