// The last stack of one thread, kept so that the next one costs what has changed and not what is
// there.
//
// Two stacks of a thread, taken one after the other, share all but their innermost frames. So the
// frames are walked outwards only until one is met that the last stack had too (same instruction,
// same stack pointer); from there on each frame of the last stack is checked to still lead to the
// next one, which is one comparison instead of one step:
//
//     last stack   main ─ train ─ step ─ forward ─ relu ─ malloc'
//     this stack   main ─ train ─ step ─ forward ─ add ─ resize ─ malloc''
//                  └────── checked ─────────────┘ └─── walked ──────────┘
//
// Why the check is exact. The walk is a function of the registers of the innermost frame and of the
// words it reads on the way: return addresses, and saved base pointers where an outer frame is
// found by its base pointer. A frame of the last stack is only believed when those registers that
// matter agree and every such word still holds what it held, read in the order in which the walk
// would read them. So nothing is read that a plain walk would not read, nothing is patched, and the
// result is the walk's own.
//
// One owner thread; a signal handler that interrupts update() must not call it. No heap, no locks:
// the caller gives zeroed memory of sizeof(StackCache), which only fills as deep as stacks are.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tidemark/stack/recent_ids.h"
#include "tidemark/stack/unwind.h"
#include "tidemark/wire/stack_id.h"

namespace tidemark::stack {

class StackCache {
 public:
  // A deeper stack loses its outermost frames (half of them at a time, so that a deep recursion
  // does not pay for each level).
  static constexpr uint32_t kCapacity = 1024;

  // Frame 0 is the outermost; frame count() − 1 is start.ip. `unloads` as in wire/stack_id.h:
  // another one than last time forgets everything.
  void update(const Context& start, uint32_t unloads) {
    if (__builtin_expect(unloads != unloads_ || !only_leaf_is_new(start), 0)) {
      update_slowly(start, unloads);
    }
  }

  uint32_t count() const { return count_; }
  uint64_t word(uint32_t frame) const { return link(frame).ip; }
  // Before id(), published() and set_published(), after each update(): with Python frames among
  // them the stack has other ids (mixed.h), and these would be for nothing.
  void name_frames() {
    for (; named_ < count_; ++named_) {
      frame_at(named_).id = wire::stack_child(id_of_caller(named_), link(named_).ip);
    }
    named_at_once_ = true;
  }
  // This time nobody has asked for ids; update() gives them none until somebody does.
  void leave_unnamed() { named_at_once_ = false; }
  wire::StackId id(uint32_t frame) const { return frame_at(frame).id; }
  // How many of the outermost frames have been the same in every update() since this was last
  // asked.
  uint32_t take_kept() {
    const uint32_t kept = kept_;
    kept_ = kCapacity;
    return kept;
  }
  // What id() of frame 0 was made from.
  wire::StackId root() const { return root_; }
  // False: frames are missing, at the outer end or (guessed through generated code) in between.
  bool complete() const { return complete_ && !guessed_; }
  bool truncated() const { return truncated_; }

  // Where the frame ends inwards; it begins outwards at sp(frame − 1).
  uint64_t sp(uint32_t frame) const { return frame_at(frame).sp; }
  // Among the frames is one that the kernel made for a signal handler.
  bool in_signal_handler() const {
    return count_ != 0 && (frame_at(count_ - 1).marks & kInHandler) != 0;
  }
  uint32_t unloads() const { return unloads_; }

  // A mark that a frame keeps as long as it stays: the collector has been told of it.
  bool published(uint32_t frame) const {
    const Frame& known = frame_at(frame);
    return (known.marks & kPublished) != 0 || recent_.holds(known.id);
  }
  void set_published(uint32_t frame) {
    Frame& known = frame_at(frame);
    known.marks |= kPublished;
    recent_.insert(known.id);
  }

  // Forgets the frames and the marks.
  void clear() {
    count_ = 0;
    kept_ = 0;
    named_ = 0;
    recent_.clear();
  }

 private:
  // What checking needs, 16 bytes a frame; the rest lies apart. Fields of 8 bytes, each written and
  // read by itself: a load that must gather what several stores have left waits for all of them.
  struct Link {
    uint64_t ip;
    uint64_t slot;  // where the caller's ip was found; a word that no ip equals: ask
  };
  struct Frame {
    uint64_t sp;
    uint64_t bp;
    wire::StackId id;
    uint64_t marks;  // the lower half; the upper: where the caller's bp was found, relative to sp
  };
  static constexpr uint64_t kPublished = 1;
  static constexpr uint64_t kUsesBp = 2;   // its caller is found by bp
  static constexpr uint64_t kSavesBp = 4;  // its caller's bp was found on the stack
  static constexpr uint64_t kNeedsBp = 8;  // bp decides how the walk goes on from here
  static constexpr uint64_t kGuessed = 16;
  static constexpr uint64_t kInHandler = 32;  // it, or a frame further out, is a signal's
  static constexpr uint64_t kWalk = 64;       // there is no fixed place where its caller was found

  Frame& frame_at(uint32_t frame) { return frames_[frame + 1]; }
  const Frame& frame_at(uint32_t frame) const { return frames_[frame + 1]; }
  Link& link(uint32_t frame) { return links_[frame + 1]; }
  const Link& link(uint32_t frame) const { return links_[frame + 1]; }
  wire::StackId id_of_caller(uint32_t frame) const {
    return frame == 0 ? root_ : frame_at(frame - 1).id;
  }
  bool needs_bp(uint32_t frame) const { return (frame_at(frame).marks & kNeedsBp) != 0; }
  bool is_frame(int32_t frame, const Context& context) const;
  int32_t first_broken(int32_t frame) const;
  bool still_leads_to_caller(uint32_t frame) const;
  bool walks_to_caller(uint32_t frame) const;
  bool only_leaf_is_new(const Context& start);
  void update_slowly(const Context& start, uint32_t unloads);
  bool walk_on(uint32_t frame, Context& context);
  void drop_outer_half(int32_t& candidate);
  template <bool kNamed>
  void place(uint32_t frame, const Link& link, const Frame& walked);
  template <bool kNamed>
  void append(uint32_t kept, uint32_t first_new);
  // Whether frame `frame` is to have its id as it is placed, as those further out have theirs.
  bool names(uint32_t frame) const { return named_at_once_ && named_ == frame; }
  // Frames from `frame` on are others than the last time, or not there.
  void changes_from(uint32_t frame) {
    if (frame < kept_) kept_ = frame;
    if (frame < named_) named_ = frame;
  }

  uint32_t count_;
  uint32_t kept_;
  uint32_t named_;  // frames further out than this have their ids
  uint32_t unloads_;
  bool complete_;
  bool truncated_;
  bool guessed_;
  bool named_at_once_;  // name_frames() is expected: ids cost less while the frames are placed
  wire::StackId root_;
  Link links_[1 + kCapacity];    // the first: of no frame, so that each has one before it
  Frame frames_[1 + kCapacity];  // here, too
  // Innermost frames come and go; their marks stay here.
  RecentIds recent_;
};

}  // namespace tidemark::stack
