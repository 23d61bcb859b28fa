#include "rules.h"

#include <cstring>

#include "tidemark/stack/modules.h"
#include "tidemark/stack/syscalls.h"

namespace tidemark::stack {
namespace {

// The far cache. A Rule in 64 bits:
//   bits 0–4 as StepRule::flags · 5–37 cfa offset (33, signed) · 38–63 bp offset (26, signed)
// An entry holds the rule and (address XOR rule), two words that are written one after the other. A
// reader that catches halves of two different entries finds that they do not give its address, and
// computes the rule itself.
struct FarRule {
  std::atomic<uint64_t> check;
  std::atomic<uint64_t> rule;
};
constexpr unsigned kFarBits = 16;
FarRule g_far_rules[size_t{1} << kFarBits];

uint64_t pack(const Rule& rule) {
  return static_cast<uint64_t>(rule.kind) | uint64_t{rule.bp_saved} << 3 |
         uint64_t{rule.bp_saved_at_base} << 4 |
         (static_cast<uint64_t>(int64_t{rule.cfa_offset}) & 0x1ffffffff) << 5 |
         static_cast<uint64_t>(int64_t{rule.bp_offset}) << 38;
}
StepRule unpack(uint64_t packed) {
  return {packed & 31, static_cast<int64_t>(packed << 26) >> 31,
          static_cast<int64_t>(packed) >> 38};
}

// The rule as an entry of the near cache has it; 0: it does not fit.
uint64_t near_rule_of(const StepRule& rule) {
  const bool plain =
      kind_of(rule) == RuleKind::kStackPointer || kind_of(rule) == RuleKind::kBasePointer;
  const uint64_t near = (rule.flags & 3) | (rule.flags & kSavesBp) >> 1 |
                        (static_cast<uint64_t>(rule.cfa_offset) & 0x1fff8) << 1 |
                        (static_cast<uint64_t>(rule.bp_offset) >> 3 & 0x7ff) << 18;
  const StepRule again = step_rule_of(near);
  const bool fits = again.flags == rule.flags && again.cfa_offset == rule.cfa_offset &&
                    again.bp_offset == rule.bp_offset;
  return plain && fits ? near : 0;
}

// Offsets in the ucontext_t that the kernel leaves where sp points in a signal frame.
constexpr uint64_t kContextBp = 0x78;
constexpr uint64_t kContextSp = 0xa0;
constexpr uint64_t kContextIp = 0xa8;

// Code without tables but with a frame pointer (assembler, generated code: V8's and Java's compiled
// functions keep one). Only believed when the chain leads upwards on the same stack and either into
// known code or, between generated frames, on to the next link of such a chain.
bool step_by_frame_pointer(Context& context) {
  constexpr uint64_t kNear = uint64_t{1} << 16;
  const uint64_t bp = context.bp;
  if ((bp & 7) != 0 || bp < context.sp || bp - context.sp > kNear) return false;
  if (!is_readable(context, bp) || !is_readable(context, bp + 8)) return false;
  const uint64_t ip = word_at(bp + 8);
  const uint64_t next = word_at(bp);
  if (find_module(ip - 1, false) == nullptr) {
    const bool code = ip >= 4096 && ip >> 47 == 0;
    if (!code || (next & 7) != 0 || next <= bp || next - bp > kNear) return false;
  }
  context = {ip, bp + 16, next};
  return true;
}

// The dynamic loader: ld-linux-x86-64.so.2, ld-2.31.so, ld-musl-x86_64.so.1.
bool is_loader(const Module& module) {
  const char* slash = std::strrchr(module.path, '/');
  return slash != nullptr && std::strncmp(slash + 1, "ld-", 3) == 0;
}

}  // namespace

NearSet g_near_rules[size_t{1} << kNearSetBits];

// Page numbers, direct mapped.
constexpr size_t kKnownPages = 1024;
std::atomic<uint64_t> g_readable_pages[kKnownPages];

[[gnu::noinline]] bool page_is_readable(uint64_t address) {
  const uint64_t page = address >> 12;
  std::atomic<uint64_t>& known = g_readable_pages[page % kKnownPages];
  if (known.load(std::memory_order_relaxed) == page) return true;
  if (!sys::readable(page << 12)) return false;
  known.store(page, std::memory_order_relaxed);
  return true;
}

void forget_pages(uint64_t start, uint64_t bytes) {
  const uint64_t first = start >> 12;
  const uint64_t count = (bytes + 4095) >> 12;
  for (uint64_t i = 0; i < count && i < kKnownPages; ++i) {
    // More pages than there are entries touch each of them.
    std::atomic<uint64_t>& known = g_readable_pages[(first + i) % kKnownPages];
    if (known.load(std::memory_order_relaxed) - first < count) {
      known.store(0, std::memory_order_relaxed);
    }
  }
}

namespace {

uint64_t compute_rule(uint64_t return_address) {
  // The call lies before the return address, which may already belong to the next function; a
  // signal frame's address is exact, and its table covers the byte before it on purpose.
  const uint64_t ip = return_address - 1;
  const Module* module = find_module(ip, true);
  Rule rule;
  if (module != nullptr) {
    rule = find_rule(*module, ip);
    // The first code of a process, from which constructors run, is written without tables and has
    // no caller.
    if (rule.kind == RuleKind::kNone && is_loader(*module)) rule.kind = RuleKind::kOutermost;
  }
  constexpr int64_t kFits = int64_t{1} << 25;
  if (rule.bp_offset >= kFits || rule.bp_offset < -kFits) rule = {};
  return pack(rule);
}

}  // namespace

[[gnu::noinline]] StepRule far_rule_at(uint64_t return_address) {
  const uint64_t spread = return_address * kSpread;
  FarRule& far = g_far_rules[spread >> (64 - kFarBits)];
  uint64_t packed = far.rule.load(std::memory_order_relaxed);
  if ((far.check.load(std::memory_order_relaxed) ^ packed) != return_address) {
    packed = compute_rule(return_address);
    // "No information" may change when a library is loaded there: asked again each time.
    if (kind_of(unpack(packed)) == RuleKind::kNone) return unpack(packed);
    far.rule.store(packed, std::memory_order_relaxed);
    far.check.store(return_address ^ packed, std::memory_order_relaxed);
  }
  const StepRule rule = unpack(packed);
  const uint64_t near = near_rule_of(rule);
  if (near != 0 && return_address >> kAddressBits == 0) {
    NearSet& set = near_set_of(spread);
    set[1].store(set[0].load(std::memory_order_relaxed), std::memory_order_relaxed);
    set[0].store(spread << kNearRuleBits | near, std::memory_order_relaxed);
  }
  return rule;
}

[[gnu::noinline]] Step step_slowly(Context& context, const StepRule& rule) {
  switch (kind_of(rule)) {
    case RuleKind::kSignalFrame:
      context = {word_at(context.sp + kContextIp) + 1, word_at(context.sp + kContextSp),
                 word_at(context.sp + kContextBp)};
      return Step::kCaller;
    case RuleKind::kOutermost:
      return Step::kOutermost;
    case RuleKind::kDereferenceBase: {
      const uint64_t at = context.bp + static_cast<uint64_t>(rule.cfa_offset);
      if (at < context.sp || at - context.sp > kMaxFrameBytes) return Step::kIncomplete;
      if (!is_readable(context, at)) return Step::kIncomplete;
      const uint64_t cfa = word_at(at);
      if (cfa <= context.sp || cfa - context.sp > kMaxFrameBytes || (cfa & 7) != 0) {
        return Step::kIncomplete;
      }
      if (!is_readable(context, cfa - 8)) return Step::kIncomplete;
      if ((rule.flags & kSavesBp) != 0) {
        const uint64_t base = saves_bp_at_cfa(rule) ? cfa : context.bp;
        const uint64_t saved = base + static_cast<uint64_t>(rule.bp_offset);
        if (!is_readable(context, saved)) return Step::kIncomplete;
        context.bp = word_at(saved);
      }
      context.ip = word_at(cfa - 8);
      context.sp = cfa;
      return Step::kCaller;
    }
    default:
      return step_by_frame_pointer(context) ? Step::kIncompleteCaller : Step::kIncomplete;
  }
}

void forget_rules() {
  for (FarRule& far : g_far_rules) {
    far.check.store(0, std::memory_order_relaxed);
    far.rule.store(0, std::memory_order_relaxed);
  }
  for (NearSet& set : g_near_rules) {
    for (std::atomic<uint64_t>& entry : set) entry.store(0, std::memory_order_relaxed);
  }
}

}  // namespace tidemark::stack
