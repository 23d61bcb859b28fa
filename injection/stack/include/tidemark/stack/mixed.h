// Python frames among native ones, in calling order: what a thread's stack is once there is an
// interpreter in the process. Keeps the last mixed stack of one thread, so that what two stacks
// share at their outer end is named and published once (wire/stack_id.h).
//
// One owner thread; a signal handler that interrupts update() must not call it. No heap, no locks:
// the caller gives zeroed memory of sizeof(MixedStack), which only fills as deep as stacks are.
#pragma once

#include <cstdint>

#include "tidemark/stack/python_chain.h"
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
  bool update(StackCache& native);

  // As in StackCache: frame 0 is the outermost.
  uint32_t count() const { return count_; }
  uint64_t word(uint32_t frame) const { return words_[frame]; }
  wire::StackId id(uint32_t frame) const { return ids_[frame]; }
  wire::StackId root() const { return root_; }
  bool complete() const { return complete_; }
  bool truncated() const { return truncated_; }
  bool published(uint32_t frame) const { return published_[frame] || recent_.holds(ids_[frame]); }
  void set_published(uint32_t frame) {
    published_[frame] = true;
    recent_.insert(ids_[frame]);
  }
  void clear() {
    count_ = 0;
    regular_ = false;
    chain_.clear();
    recent_.clear();
  }

 private:
  class Emitter;
  bool find_interpreter(const StackCache& native);
  bool merge_from(const StackCache& native, uint32_t kept_native, uint32_t kept_python,
                  uint32_t last);
  uint32_t emit_run(Emitter& emitter, uint32_t frame, uint32_t place);
  void merge_all(const StackCache& native, uint32_t last, uint32_t cut);
  uint32_t read_runs();

  uint32_t count_;
  bool regular_;  // place_ and end_ hold, for all frames of chain_
  bool complete_;
  bool truncated_;
  wire::StackId root_;
  uint64_t words_[kCapacity];
  wire::StackId ids_[kCapacity];
  bool published_[kCapacity];
  PythonChain chain_;
  // By frame of chain_: the native frame that its run stands for, and how many words there are up
  // to and with it.
  uint32_t place_[PythonChain::kCapacity];
  uint32_t end_[PythonChain::kCapacity];
  // Behind the last Python frame, word after word is native frame after native frame: from which
  // word and which frame on, after so many frames of chain_.
  uint32_t tail_word_;
  uint32_t tail_frame_;
  uint32_t tail_python_;
  // Innermost frames come and go; their marks stay here.
  RecentIds recent_;
  // Scratch: a thread's own stack may be small.
  uint64_t python_words_[kCapacity];
  PythonRun runs_[kCapacity];
};

}  // namespace tidemark::stack
