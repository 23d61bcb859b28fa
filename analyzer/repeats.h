// The shortest part of a sequence that repeats, and where each repeat begins. Private to the
// analyzer. Pure; any thread.
//
//   keys      s s s i f f f b b o o o i f f f b b i f f f b b x
//   period              from the longest stretch that equals itself, shifted: i f f f b b
//   begins          ^ (3)             ^ (12)      ^ (18)       end: 24
//
// What is alike within a repeat (the blocks of a model) is shorter but never as long a stretch as
// the repeats. Repeats of their own kind (the first, which sets up lazily; every tenth, which
// logs) are found by the first key that each repeat holds once. Cost: linear.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace tidemark::analyzer {

struct Repeats {
  size_t period = 0;           // 0: nothing repeats
  size_t reference = 0;        // where one regular repeat begins
  std::vector<size_t> begins;  // ascending
  std::vector<bool> regular;   // of each: equal to the reference, key by key
  size_t end = 0;              // behind the last repeat
  size_t covered = 0;          // keys in the longest stretch and the repeat after it
};

// May the keys from `begin` on be one repeat? A loop over the blocks of a model is none.
using MayRepeat = std::function<bool(size_t begin, size_t period)>;

// At least two whole repeats, of at least `shortest` keys of which some differ; where `partial`,
// one and some keys of another will do (an iteration that ran out of memory).
Repeats find_repeats(std::span<const uint64_t> keys, size_t shortest, bool partial,
                     const MayRepeat& may_repeat);

}  // namespace tidemark::analyzer
