// The unwind rule of an instruction address, from a cache that all threads share, and one step with
// it. Private to injection/stack; unwind.h says what holds for callers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cfi.h"
#include "tidemark/stack/unwind.h"

namespace tidemark::stack {

// A rule as a step takes it.
struct StepRule {
  uint64_t flags;  // bits 0–2 kind · 3 bp saved at CFA · 4 bp saved at bp
  int64_t cfa_offset;
  int64_t bp_offset;
};
inline constexpr uint64_t kSavesBp = 24;
inline RuleKind kind_of(const StepRule& rule) { return static_cast<RuleKind>(rule.flags & 7); }
inline bool saves_bp_at_cfa(const StepRule& rule) { return (rule.flags & 8) != 0; }
inline bool saves_bp_at_base(const StepRule& rule) { return (rule.flags & 16) != 0; }

// Two caches, shared by all threads without a lock. What a program does over and over again needs
// some thousand rules: they stay together in a near one, an entry of which is one word. What is not
// there is looked for in the far one, which holds more, and any rule.
//
// The near one: sets of two words. With h = address · odd, which gives each address of 48 bits
// another remainder by 2^48, bits 35–47 of h tell the set, and an entry holds
//   bits 29–63 bits 0–34 of h · 18–28 bp offset / 8 (signed) · 4–17 cfa offset / 8 · 3 bp saved at
//   bp · 2 bp saved at CFA · 0–1 kind
// so that an entry is of one address alone. 0: none.
inline constexpr unsigned kNearRuleBits = 29;
inline constexpr uint64_t kNearRules = uint64_t{1} << kNearRuleBits;  // no rule is as large
inline constexpr unsigned kNearSetBits = 13;
inline constexpr unsigned kAddressBits = 48;
static_assert(64 - kNearRuleBits + kNearSetBits == kAddressBits, "set and entry tell the address");
using NearSet = std::atomic<uint64_t>[2];
extern NearSet g_near_rules[size_t{1} << kNearSetBits];  // 128 KB

inline constexpr uint64_t kSpread = 0x9e3779b97f4a7c15ULL;
inline NearSet& near_set_of(uint64_t spread) {
  return g_near_rules[spread >> (kAddressBits - kNearSetBits) & ((1U << kNearSetBits) - 1)];
}

[[gnu::always_inline]] inline StepRule step_rule_of(uint64_t near) {
  return {(near & 3) | (near & 12) << 1, static_cast<int64_t>(near >> 1 & 0x1fff8),
          static_cast<int64_t>(near << 35) >> 53 << 3};
}

StepRule far_rule_at(uint64_t return_address);  // and makes it near, if it fits

[[gnu::always_inline]] inline StepRule rule_at(uint64_t return_address) {
  const uint64_t spread = return_address * kSpread;
  if (__builtin_expect(return_address >> kAddressBits == 0, 1)) {
    const NearSet& set = near_set_of(spread);
    const uint64_t entry = spread << kNearRuleBits;
    const uint64_t first = set[0].load(std::memory_order_relaxed) ^ entry;
    if (__builtin_expect(first - 1 < kNearRules - 1, 1)) return step_rule_of(first);
    const uint64_t second = set[1].load(std::memory_order_relaxed) ^ entry;
    if (second - 1 < kNearRules - 1) return step_rule_of(second);
  }
  return far_rule_at(return_address);
}

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
Step step_slowly(Context& context, const StepRule& rule);

// The rules that almost all frames have; anything else through step_slowly().
[[gnu::always_inline]] inline Step step(Context& context, const StepRule& rule) {
  uint64_t cfa = 0;
  if (kind_of(rule) == RuleKind::kStackPointer) {
    cfa = context.sp + static_cast<uint64_t>(rule.cfa_offset);
  } else if (kind_of(rule) == RuleKind::kBasePointer) {
    cfa = context.bp + static_cast<uint64_t>(rule.cfa_offset);
  } else {
    return step_slowly(context, rule);
  }
  // Each frame lies above the one before; anything else would loop or leave the stack.
  if (cfa <= context.sp || cfa - context.sp > kMaxFrameBytes || (cfa & 7) != 0) {
    return Step::kIncomplete;
  }
  if (!is_readable(context, cfa - 8)) return Step::kIncomplete;
  if ((rule.flags & kSavesBp) != 0) {
    const uint64_t base = saves_bp_at_cfa(rule) ? cfa : context.bp;
    const uint64_t at = base + static_cast<uint64_t>(rule.bp_offset);
    if (!is_readable(context, at)) return Step::kIncomplete;
    context.bp = word_at(at);
  }
  context.ip = word_at(cfa - 8);
  context.sp = cfa;
  return Step::kCaller;
}

}  // namespace tidemark::stack
