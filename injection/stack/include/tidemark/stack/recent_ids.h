// Which of a thread's stacks have been published lately: what a training step or a loop allocates
// comes again and again, on some ten thousand different stacks. Looked up here, they cost a few
// nanoseconds; in the set that all threads share (seen_set.h), which holds a million, a miss of the
// cache and one of the TLB. What is not here may still be there.
//
// Four places for each remainder: with one, a quarter of ten thousand ids that come again in every
// step of a training would have lost it to one another by then.
//
// One owner thread; lives in zeroed memory, of which it touches what it uses.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tidemark/wire/stack_id.h"

namespace tidemark::stack {

class RecentIds {
 public:
  bool holds(wire::StackId id) const {
    const wire::StackId* const set = ids_ + first_of_set(id);
    const wire::StackId entry = id ^ salt_;
    // Without a branch for each: which of them it is cannot be predicted.
    return static_cast<bool>((set[0] == entry) | (set[1] == entry) | (set[2] == entry) |
                             (set[3] == entry));
  }
  // One of its set gives way: any, for where more ids come again in turn than a set holds, the
  // oldest would always be the one that is wanted next.
  void insert(wire::StackId id) { ids_[first_of_set(id) + turn_++ % kWays] = id ^ salt_; }
  // Forgets all, without touching the memory: with another salt nothing that is there is meant.
  void clear() { salt_ = wire::mix_ids(salt_, 1); }

 private:
  static constexpr size_t kWays = 4;
  static constexpr size_t kPlaces = size_t{1} << 15;  // 256 KB
  static size_t first_of_set(wire::StackId id) { return id % (kPlaces / kWays) * kWays; }

  wire::StackId salt_;
  uint32_t turn_;
  // A set lies in one line of the processor's cache.
  alignas(kWays * sizeof(wire::StackId)) wire::StackId ids_[kPlaces];
};

}  // namespace tidemark::stack
