// The unwind rule of an instruction address, from a cache that all threads share, and one step with
// it. Private to injection/stack; unwind.h says what holds for callers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cfi.h"
#include "tidemark/stack/unwind.h"

namespace tidemark::stack {

// A Rule in 64 bits.
//   bits 0–2 kind · 3 bp saved at CFA · 4 bp saved at bp · 5–37 cfa offset (33, signed)
//   · 38–63 bp offset (26, signed)
using PackedRule = uint64_t;
inline RuleKind kind_of(PackedRule rule) { return static_cast<RuleKind>(rule & 7); }
inline constexpr PackedRule kSavesBp = 24;
inline bool saves_bp_at_cfa(PackedRule rule) { return (rule & 8) != 0; }
inline bool saves_bp_at_base(PackedRule rule) { return (rule & 16) != 0; }
inline int64_t cfa_offset_of(PackedRule rule) { return static_cast<int64_t>(rule << 26) >> 31; }
inline int64_t bp_offset_of(PackedRule rule) { return static_cast<int64_t>(rule) >> 38; }

// Shared by all threads without a lock: an entry holds the rule and (address XOR rule), two words
// that are written one after the other. A reader that catches halves of two different entries finds
// that they do not give its address, and computes the rule itself.
struct CachedRule {
  std::atomic<uint64_t> check;
  std::atomic<uint64_t> rule;
};
inline constexpr size_t kCachedRules = size_t{1} << 16;
extern CachedRule g_rules[kCachedRules];

PackedRule compute_rule(uint64_t return_address);  // and caches it

[[gnu::always_inline]] inline PackedRule rule_at(uint64_t return_address) {
  const CachedRule& entry = g_rules[(return_address * 0x9e3779b97f4a7c15ULL) >> 48];
  const uint64_t rule = entry.rule.load(std::memory_order_relaxed);
  if ((entry.check.load(std::memory_order_relaxed) ^ rule) == return_address) return rule;
  return compute_rule(return_address);
}
static_assert(kCachedRules == 1 << 16, "the index takes 16 bits");

[[gnu::always_inline]] inline uint64_t word_at(uint64_t address) {
  return *reinterpret_cast<const uint64_t*>(address);
}

// A frame larger than this is no frame: the tables lie.
inline constexpr uint64_t kMaxFrameBytes = uint64_t{1} << 30;

// Whether the page of `address` can be read. Asks the kernel once a page and remembers.
bool page_is_readable(uint64_t address);

// A frame's words are read unseen where they share the page of its return address, which was read
// before. The step onto another page is checked: tables that lie (or the outermost frame of a
// coroutine, which nobody wrote tables for) may lead past the end of the stack.
[[gnu::always_inline]] inline bool is_readable(const Context& frame, uint64_t address) {
  return __builtin_expect((address ^ (frame.sp - 8)) >> 12 == 0, 1) || page_is_readable(address);
}

enum class Step : uint8_t { kCaller, kOutermost, kIncomplete, kIncompleteCaller };

// From a frame to its caller. kCaller: `context` is the caller's. kIncompleteCaller: too, but by
// guess. Otherwise `context` is as it was.
Step step_slowly(Context& context, PackedRule rule);

// The rules that almost all frames have; anything else through step_slowly().
[[gnu::always_inline]] inline Step step(Context& context, PackedRule rule) {
  uint64_t cfa = 0;
  if (kind_of(rule) == RuleKind::kStackPointer) {
    cfa = context.sp + static_cast<uint64_t>(cfa_offset_of(rule));
  } else if (kind_of(rule) == RuleKind::kBasePointer) {
    cfa = context.bp + static_cast<uint64_t>(cfa_offset_of(rule));
  } else {
    return step_slowly(context, rule);
  }
  // Each frame lies above the one before; anything else would loop or leave the stack.
  if (cfa <= context.sp || cfa - context.sp > kMaxFrameBytes || (cfa & 7) != 0) {
    return Step::kIncomplete;
  }
  if (!is_readable(context, cfa - 8)) return Step::kIncomplete;
  if ((rule & kSavesBp) != 0) {
    const uint64_t base = saves_bp_at_cfa(rule) ? cfa : context.bp;
    const uint64_t at = base + static_cast<uint64_t>(bp_offset_of(rule));
    if (!is_readable(context, at)) return Step::kIncomplete;
    context.bp = word_at(at);
  }
  context.ip = word_at(cfa - 8);
  context.sp = cfa;
  return Step::kCaller;
}

}  // namespace tidemark::stack
