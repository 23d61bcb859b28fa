// Python frames among native ones, in calling order: what a thread's stack is once there is an
// interpreter in the process.
//
// merge() is pure: it knows neither threads nor interpreters, so that the order can be tested with
// made-up stacks. MixedStack keeps the last mixed stack of a thread, so that what two stacks share
// at their outer end is named and published once (wire/stack_id.h).
#pragma once

#include <cstdint>

#include "tidemark/stack/python.h"
#include "tidemark/stack/stack_cache.h"

namespace tidemark::stack {

struct NativeFrame {
  uint64_t ip;   // return address
  uint64_t sp;   // the frame lies in [sp, cfa)
  uint64_t cfa;  // 0 unknown: the outermost
};

// What one invocation of the eval loop executes.
struct PythonRun {
  uint64_t anchor;  // inside the native frame of the eval loop; 0 unknown
  uint32_t first;   // index of its innermost word
  uint32_t count;   // may be 0: all its frames are hidden
};

struct PythonStack {
  const uint64_t* words;  // innermost first, run by run
  const PythonRun* runs;
  uint32_t run_count;
  bool handler_frames = false;  // python.h: has_handler_frames()
};

// Innermost first, `native` and the result. The native frame that an anchor lies in is replaced by
// its run. Runs that no native frame holds follow at the outer end. Returns how many words there
// are; those beyond `capacity` are left out and `*truncated` is set.
uint32_t merge(const NativeFrame* native, uint32_t native_count, const PythonStack& python,
               uint64_t* words, uint32_t capacity, bool* truncated);

class MixedStack {
 public:
  static constexpr uint32_t kCapacity = StackCache::kCapacity;

  // From the thread's native stack as it is now. False when it has no Python frames: then the
  // native stack is all there is. One owner thread; a signal handler that interrupts it must not
  // call it. The memory is given zeroed, and fills as deep as stacks are.
  bool update(const StackCache& native);

  // As in StackCache: frame 0 is the outermost.
  uint32_t count() const { return count_; }
  uint64_t word(uint32_t frame) const { return words_[frame]; }
  wire::StackId id(uint32_t frame) const { return ids_[frame]; }
  wire::StackId root() const { return root_; }
  bool complete() const { return complete_; }
  bool truncated() const { return truncated_; }
  bool published(uint32_t frame) const { return published_[frame]; }
  void set_published(uint32_t frame) { published_[frame] = true; }
  void clear() { count_ = 0; }

 private:
  bool read_native(const StackCache& native);

  uint32_t count_;
  bool complete_;
  bool truncated_;
  wire::StackId root_;
  uint64_t words_[kCapacity];
  wire::StackId ids_[kCapacity];
  bool published_[kCapacity];
  // Scratch of update().
  NativeFrame native_[kCapacity];
  uint64_t python_words_[kCapacity];
  PythonRun runs_[kCapacity];
  uint64_t merged_[kCapacity];
};

}  // namespace tidemark::stack
