#include "tidemark/stack/stack_cache.h"

#include <cstring>

#include "rules.h"

namespace tidemark::stack {
namespace {

// A walk ends at an ip of 0, so no frame's equals this: the check of a frame whose slot it is goes
// the long way.
constexpr uint64_t kNoIp = 0;
inline uint64_t slot_to_ask() { return reinterpret_cast<uint64_t>(&kNoIp); }
constexpr uint64_t kBeforeFirst = 1;

int64_t bp_offset_in(uint64_t marks) { return static_cast<int64_t>(marks) >> 32; }

}  // namespace

[[gnu::always_inline]] inline bool StackCache::is_frame(int32_t frame,
                                                        const Context& context) const {
  const Frame& known = frame_at(static_cast<uint32_t>(frame));
  return known.sp == context.sp && link(static_cast<uint32_t>(frame)).ip == context.ip &&
         ((known.marks & kNeedsBp) == 0 || known.bp == context.bp);
}

// Frames whose caller was not found at a fixed place, or the base pointer with it: by another walk.
[[gnu::noinline]] bool StackCache::walks_to_caller(uint32_t frame) const {
  Context context{link(frame).ip, frame_at(frame).sp, frame_at(frame).bp};
  const Step taken = step(context, rule_at(context.ip));
  return (taken == Step::kCaller || taken == Step::kIncompleteCaller) &&
         is_frame(static_cast<int32_t>(frame) - 1, context);
}

// Frames that the short check does not cover: the base pointer matters, which is so for all frames
// of a program that was compiled with frame pointers, or there is no fixed place.
[[gnu::always_inline]] inline bool StackCache::still_leads_to_caller(uint32_t frame) const {
  const Frame& known = frame_at(frame);
  const Frame& caller = frame_at(frame - 1);
  if (__builtin_expect((known.marks & kWalk) != 0, 0)) return walks_to_caller(frame);
  return word_at(caller.sp - 8) == link(frame - 1).ip &&
         word_at(known.sp + static_cast<uint64_t>(bp_offset_in(known.marks))) == caller.bp;
}

// The innermost of the frames up to `frame` that no longer leads to its caller; −1: all do.
[[gnu::always_inline]] inline int32_t StackCache::first_broken(int32_t frame) const {
  const auto leads_on = [](const Link* at) {
    return __builtin_expect(word_at(at->slot) == at[-1].ip, 1);
  };
  for (const Link* at = &link(static_cast<uint32_t>(frame));; --at) {
    while (leads_on(at) && leads_on(--at) && leads_on(--at) && leads_on(--at)) --at;
    // Frames with a base pointer come in rows.
    auto index = static_cast<int32_t>(at - links_) - 1;
    for (; index != 0 && at->slot == slot_to_ask(); --at, --index) {
      if (!still_leads_to_caller(static_cast<uint32_t>(index))) return index;
    }
    if (index == 0) return -1;
    if (!leads_on(at)) return index;
  }
}

// Writes `frame` from `context` and steps to the caller. False: it has none, or none is known.
[[gnu::always_inline]] inline bool StackCache::walk_on(uint32_t frame, Context& context) {
  const Context here = context;
  const StepRule rule = rule_at(here.ip);
  const Step taken = step(context, rule);
  uint64_t slot = slot_to_ask();
  uint64_t marks = kWalk;
  bool has_caller = true;
  const RuleKind kind = kind_of(rule);
  if (__builtin_expect(taken == Step::kCaller && kind <= RuleKind::kBasePointer, 1)) {
    slot = context.sp - 8;
    marks = kind == RuleKind::kBasePointer ? kUsesBp : 0;
    if (saves_bp_at_cfa(rule)) {
      // Fits: a frame is at most kMaxFrameBytes long.
      marks |= kSavesBp | (context.sp + static_cast<uint64_t>(rule.bp_offset) - here.sp) << 32;
    } else if (saves_bp_at_base(rule)) {
      const uint64_t offset = here.bp + static_cast<uint64_t>(rule.bp_offset) - here.sp;
      marks |= kUsesBp | kSavesBp | offset << 32;
      if (bp_offset_in(marks) != static_cast<int64_t>(offset)) {
        slot = slot_to_ask();
        marks = kUsesBp | kSavesBp | kWalk;
      }
    }
  } else if (taken == Step::kCaller) {
    marks |= kind == RuleKind::kSignalFrame ? kInHandler : kUsesBp;
  } else if (taken == Step::kIncompleteCaller) {
    marks |= kUsesBp | kGuessed;
  } else {
    complete_ = taken == Step::kOutermost;
    if (!complete_) marks |= kUsesBp;
    has_caller = false;
  }
  Link& to = link(frame);
  to.ip = here.ip;
  to.slot = slot;
  Frame& walked = frame_at(frame);
  walked.sp = here.sp;
  walked.bp = here.bp;
  walked.marks = marks;
  return has_caller;
}

// Where `frame` belongs from now on, with what depends on its callers: whether it is a signal's,
// and whether bp matters to the walk from here; kNamed: and its id.
template <bool kNamed>
[[gnu::always_inline]] inline void StackCache::place(uint32_t frame, const Link& link_of,
                                                     const Frame& walked) {
  const uint64_t ip = link_of.ip;
  uint64_t slot = link_of.slot;
  uint64_t marks = walked.marks;
  wire::StackId caller = root_;
  bool caller_needs_bp = !complete_;
  if (__builtin_expect(frame == 0, 0)) {
    slot = slot_to_ask();
    links_[0].ip = kBeforeFirst;
    frames_[0].sp = ~uint64_t{0};
  } else {
    const Frame& outer = frame_at(frame - 1);
    caller = outer.id;
    caller_needs_bp = (outer.marks & kNeedsBp) != 0;
    marks |= outer.marks & kInHandler;
  }
  if (__builtin_expect(caller_needs_bp, 0)) {
    if ((marks & kSavesBp) == 0) {
      marks |= kNeedsBp;
    } else {
      slot = slot_to_ask();
    }
  }
  if ((marks & kUsesBp) != 0) marks |= kNeedsBp;
  Frame& to = frame_at(frame);
  to.sp = walked.sp;
  to.bp = walked.bp;
  if constexpr (kNamed) to.id = wire::stack_child(caller, ip);
  to.marks = marks;
  link(frame).ip = ip;
  link(frame).slot = slot;
}

// Makes room in the middle of a stack that has outgrown the cache: frames [0, candidate] lose their
// outer half. Their callers are no longer known, so they get other ids.
void StackCache::drop_outer_half(int32_t& candidate) {
  const auto kept = static_cast<uint32_t>(candidate + 1) / 2;
  const uint32_t dropped = static_cast<uint32_t>(candidate + 1) - kept;
  complete_ = false;
  truncated_ = true;
  root_ = wire::stack_root(unloads_, false);
  for (uint32_t i = 0; i < kept; ++i) {
    frame_at(dropped + i).marks &= ~kPublished;
    place<false>(i, link(dropped + i), frame_at(dropped + i));
  }
  candidate -= static_cast<int32_t>(dropped);
  changes_from(0);
}

// New frames [first_new, kCapacity) come to lie behind the `kept` outermost ones.
template <bool kNamed>
[[gnu::always_inline]] inline void StackCache::append(uint32_t kept, uint32_t first_new) {
  count_ = kept + kCapacity - first_new;
  for (uint32_t i = kept, from = first_new; i < count_; ++i, ++from) {
    place<kNamed>(i, link(from), frame_at(from));
    guessed_ |= (frame_at(i).marks & kGuessed) != 0;
  }
  if constexpr (kNamed) named_ = count_;
}

// The usual case: one frame is new, or none, and its caller was there the last time. False: it is
// another case, and nothing has been changed.
bool StackCache::only_leaf_is_new(const Context& start) {
  if (__builtin_expect(count_ - 1 >= kCapacity - 2 || truncated_, 0)) return false;
  uint32_t outer = count_ - 1;
  while (frame_at(outer).sp < start.sp) --outer;
  if (is_frame(static_cast<int32_t>(outer), start)) {
    if (first_broken(static_cast<int32_t>(outer)) >= 0) return false;
    count_ = outer + 1;
    changes_from(count_);
    guessed_ = false;
    return true;
  }
  const StepRule rule = rule_at(start.ip);
  const RuleKind kind = kind_of(rule);
  const bool by_bp = kind == RuleKind::kBasePointer;
  if ((!by_bp && kind != RuleKind::kStackPointer) || saves_bp_at_base(rule)) return false;
  // Whatever step() would ask about is left to it.
  const uint64_t cfa = (by_bp ? start.bp : start.sp) + static_cast<uint64_t>(rule.cfa_offset);
  const uint64_t saved = cfa + static_cast<uint64_t>(rule.bp_offset);
  const uint64_t page = start.sp - 8;
  if (cfa <= start.sp || (cfa & 7) != 0 || ((page ^ (cfa - 8)) | (page ^ saved)) >> 12 != 0) {
    return false;
  }
  while (frame_at(outer).sp < cfa) --outer;
  const bool saves = saves_bp_at_cfa(rule);
  const Context caller{word_at(cfa - 8), cfa, saves ? word_at(saved) : start.bp};
  if (!is_frame(static_cast<int32_t>(outer), caller) ||
      first_broken(static_cast<int32_t>(outer)) >= 0) {
    return false;
  }
  const uint64_t marks = (by_bp ? kUsesBp : 0) | (saves ? kSavesBp | (saved - start.sp) << 32 : 0);
  const uint32_t leaf = outer + 1;
  changes_from(leaf);
  if (__builtin_expect(names(leaf), 1)) {
    place<true>(leaf, {start.ip, cfa - 8}, {start.sp, start.bp, 0, marks});
    named_ = leaf + 1;
  } else {
    place<false>(leaf, {start.ip, cfa - 8}, {start.sp, start.bp, 0, marks});
  }
  count_ = leaf + 1;
  guessed_ = false;
  return true;
}

void StackCache::update_slowly(const Context& start, uint32_t unloads) {
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
    while (candidate >= 0 && frame_at(static_cast<uint32_t>(candidate)).sp < context.sp)
      --candidate;
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
  const auto kept = static_cast<uint32_t>(candidate + 1);
  changes_from(kept);
  if (names(kept)) {
    append<true>(kept, first_new);
  } else {
    append<false>(kept, first_new);
  }
}

}  // namespace tidemark::stack
