// Python frames among native ones, in calling order: what a thread's stack is once there is an
// interpreter in the process. Keeps the last mixed stack of one thread, so that what two stacks
// share at their outer end is named and published once (wire/stack_id.h).
//
// One owner thread; a signal handler that interrupts update() must not call it. No heap, no locks:
// the caller gives zeroed memory of sizeof(MixedStack), which only fills as deep as stacks are.
#pragma once

#include <cstdint>

#include "tidemark/stack/python.h"
#include "tidemark/stack/stack_cache.h"

namespace tidemark::stack {

// What one invocation of the eval loop executes.
struct PythonRun {
  uint64_t anchor;  // inside the native frame of the eval loop; 0 unknown
  uint32_t first;   // index of its innermost word
  uint32_t count;   // may be 0: all its frames are hidden
  int32_t place;    // the native frame that it stands for; merge() finds it
};

class MixedStack {
 public:
  static constexpr uint32_t kCapacity = StackCache::kCapacity;

  // From the thread's native stack as it is now. False when it has no Python frames that can be
  // read: then the native stack is all there is.
  bool update(const StackCache& native);

  // As in StackCache: frame 0 is the outermost.
  uint32_t count() const { return count_; }
  uint64_t word(uint32_t frame) const { return words_[frame]; }
  wire::StackId id(uint32_t frame) const { return ids_[frame]; }
  wire::StackId root() const { return root_; }
  bool complete() const { return complete_; }
  bool truncated() const { return truncated_; }
  bool published(uint32_t frame) const {
    return published_[frame] || recent_[ids_[frame] % kRecent] == ids_[frame];
  }
  void set_published(uint32_t frame) {
    published_[frame] = true;
    recent_[ids_[frame] % kRecent] = ids_[frame];
  }
  void clear() {
    count_ = 0;
    for (wire::StackId& id : recent_) id = 0;
  }

 private:
  bool find_interpreter(const StackCache& native);
  uint32_t read_runs(uint32_t* word_count);

  uint32_t count_;
  bool complete_;
  bool truncated_;
  wire::StackId root_;
  // The stacks of a program's inner loops come again and again; their marks stay here.
  static constexpr size_t kRecent = 512;
  wire::StackId recent_[kRecent];
  uint64_t words_[kCapacity];
  wire::StackId ids_[kCapacity];
  bool published_[kCapacity];
  // Scratch of update(): a thread's own stack may be small.
  uint64_t python_words_[kCapacity];
  PythonRun runs_[kCapacity];
};

}  // namespace tidemark::stack
