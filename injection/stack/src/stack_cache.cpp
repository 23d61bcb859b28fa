#include "tidemark/stack/stack_cache.h"

#include <cstring>

#include "rules.h"
#include "tidemark/wire/stack_id.h"

namespace tidemark::stack {

[[gnu::always_inline]] inline bool StackCache::is_frame(int32_t frame,
                                                        const Context& context) const {
  const Frame& known = frames_[frame];
  return known.sp == context.sp && links_[frame].ip == context.ip &&
         ((known.flags & kNeedsBp) == 0 || known.bp == context.bp);
}

// Frames that the short check does not cover: the base pointer matters, or there is no fixed place
// where the caller was found.
[[gnu::noinline]] bool StackCache::still_leads_to_caller(int32_t frame) const {
  const Frame& known = frames_[frame];
  const uint64_t slot = links_[frame].slot;
  if ((slot & kWalk) == 0) {
    return word_at(slot & ~kCheckBp) == links_[frame - 1].ip &&
           word_at(known.sp + static_cast<uint64_t>(int64_t{known.bp_slot})) ==
               frames_[frame - 1].bp;
  }
  Context context{links_[frame].ip, known.sp, known.bp};
  const Step taken = step(context, rule_at(context.ip));
  return (taken == Step::kCaller || taken == Step::kIncompleteCaller) &&
         is_frame(frame - 1, context);
}

// The innermost of the frames up to `frame` that no longer leads to its caller; −1: all do.
[[gnu::always_inline]] inline int32_t StackCache::first_broken(int32_t frame) const {
  for (const Link* link = links_ + frame;; --link) {
    const uint64_t slot = link->slot;
    if (__builtin_expect((slot & (kOutermost | kCheckBp | kWalk)) != 0, 0)) {
      if ((slot & kOutermost) != 0) return -1;
      const auto index = static_cast<int32_t>(link - links_);
      if (!still_leads_to_caller(index)) return index;
    } else if (__builtin_expect(word_at(slot) != link[-1].ip, 0)) {
      return static_cast<int32_t>(link - links_);
    }
  }
}

// Writes `frame` from `context` and steps to the caller. False: it has none, or none is known.
[[gnu::always_inline]] inline bool StackCache::walk_on(uint32_t frame, Context& context) {
  const Context here = context;
  const PackedRule rule = rule_at(here.ip);
  const Step taken = step(context, rule);
  Link& link = links_[frame];
  Frame& known = frames_[frame];
  link = {here.ip, kWalk};
  known = {here.sp, here.bp, 0, 0, 0};
  const RuleKind kind = kind_of(rule);
  if (__builtin_expect(taken == Step::kCaller, 1) &&
      (kind == RuleKind::kStackPointer || kind == RuleKind::kBasePointer)) {
    link.slot = context.sp - 8;
    uint64_t bp_slot = here.sp;
    if (saves_bp_at_cfa(rule)) {
      bp_slot = context.sp + static_cast<uint64_t>(bp_offset_of(rule));
    } else if (saves_bp_at_base(rule)) {
      bp_slot = here.bp + static_cast<uint64_t>(bp_offset_of(rule));
    }
    const auto offset = static_cast<int64_t>(bp_slot - here.sp);
    if (kind == RuleKind::kBasePointer || saves_bp_at_base(rule)) known.flags |= kUsesBp;
    if (saves_bp_at_cfa(rule) || saves_bp_at_base(rule)) known.flags |= kSavesBp;
    if (offset != static_cast<int32_t>(offset) || (link.slot & 7) != 0) {
      link.slot = kWalk;
      known.flags |= kUsesBp;
    }
    known.bp_slot = static_cast<int32_t>(offset);
    return true;
  }
  switch (taken) {
    case Step::kOutermost:
      complete_ = true;
      return false;
    case Step::kIncomplete:
      known.flags |= kUsesBp;
      complete_ = false;
      return false;
    case Step::kIncompleteCaller:
      known.flags |= kUsesBp | kGuessed;
      return true;
    case Step::kCaller:
      known.flags |= kind == RuleKind::kSignalFrame ? kInHandler : kUsesBp;
      return true;
  }
  return false;
}

// What of a frame depends on its callers: its id, and whether bp matters to the walk from here.
[[gnu::always_inline]] inline void StackCache::settle(uint32_t frame, wire::StackId caller_id,
                                                      bool caller_needs_bp) {
  Link& link = links_[frame];
  Frame& known = frames_[frame];
  known.id = wire::stack_child(caller_id, link.ip);
  const bool saves = (known.flags & kSavesBp) != 0;
  if (saves && caller_needs_bp && (link.slot & kWalk) == 0) link.slot |= kCheckBp;
  if (frame == 0) {
    link.slot |= kOutermost;
  } else {
    known.flags |= frames_[frame - 1].flags & kInHandler;
  }
  if ((known.flags & kUsesBp) != 0 || (!saves && caller_needs_bp)) known.flags |= kNeedsBp;
}

// Makes room in the middle of a stack that has outgrown the cache: frames [0, candidate] lose their
// outer half. Their callers are no longer known, so they get other ids.
void StackCache::drop_outer_half(int32_t& candidate) {
  const auto kept = static_cast<uint32_t>(candidate + 1) / 2;
  const uint32_t dropped = static_cast<uint32_t>(candidate + 1) - kept;
  std::memmove(links_, links_ + dropped, kept * sizeof(Link));
  std::memmove(frames_, frames_ + dropped, kept * sizeof(Frame));
  complete_ = false;
  truncated_ = true;
  root_ = wire::stack_root(unloads_, false);
  for (uint32_t i = 0; i < kept; ++i) {
    frames_[i].flags &= ~kPublished;
    settle(i, i == 0 ? root_ : frames_[i - 1].id, i == 0 || needs_bp(i - 1));
  }
  candidate -= static_cast<int32_t>(dropped);
  kept_ = 0;
}

// New frames [first_new, kCapacity) come to lie behind the `kept` outermost ones.
[[gnu::always_inline]] inline void StackCache::append(uint32_t kept, uint32_t first_new) {
  const uint32_t added = kCapacity - first_new;
  count_ = kept + added;
  for (uint32_t i = kept, from = first_new; i < count_; ++i, ++from) {
    if (i != from) {
      links_[i] = links_[from];
      frames_[i] = frames_[from];
    }
    guessed_ |= (frames_[i].flags & kGuessed) != 0;
    settle(i, i == 0 ? root_ : frames_[i - 1].id, i == 0 ? !complete_ : needs_bp(i - 1));
  }
}

void StackCache::update(const Context& start, uint32_t unloads) {
  if (__builtin_expect(unloads != unloads_, 0)) {
    count_ = 0;
    unloads_ = unloads;
  }
  // Back from a recursion that was too deep: the outer frames can be known again.
  if (__builtin_expect(truncated_, 0) && count_ < kCapacity / 4) count_ = 0;
  Context context = start;
  uint32_t first_new = kCapacity;
  auto candidate = static_cast<int32_t>(count_) - 1;
  guessed_ = false;
  for (;;) {
    while (candidate >= 0 && frames_[candidate].sp < context.sp) --candidate;
    if (candidate >= 0 && is_frame(candidate, context)) {
      const int32_t broken = first_broken(candidate);
      if (__builtin_expect(broken < 0, 1)) break;
      candidate = broken - 1;
    }
    // Has the new end of the stack met the old one?
    if (__builtin_expect(first_new == static_cast<uint32_t>(candidate + 1), 0)) {
      if (candidate >= static_cast<int32_t>(kCapacity / 2)) {
        drop_outer_half(candidate);
      } else if (candidate >= 0) {
        candidate = -1;
      }
      if (first_new == 0) {  // candidate is −1
        complete_ = false;
        truncated_ = true;
        break;
      }
    }
    if (context.ip == 0) complete_ = true;
    if (context.ip == 0 || !walk_on(--first_new, context)) {
      candidate = -1;
      truncated_ = false;
      break;
    }
  }
  if (candidate < 0) root_ = wire::stack_root(unloads_, complete_);
  if (static_cast<uint32_t>(candidate + 1) < kept_) kept_ = static_cast<uint32_t>(candidate + 1);
  append(static_cast<uint32_t>(candidate + 1), first_new);
}

}  // namespace tidemark::stack
