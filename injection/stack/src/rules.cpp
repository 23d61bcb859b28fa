#include "rules.h"

#include <cstring>

#include "tidemark/stack/modules.h"
#include "tidemark/stack/syscalls.h"

namespace tidemark::stack {
namespace {

PackedRule pack(const Rule& rule) {
  return static_cast<uint64_t>(rule.kind) | uint64_t{rule.bp_saved} << 3 |
         uint64_t{rule.bp_saved_at_base} << 4 |
         (static_cast<uint64_t>(int64_t{rule.cfa_offset}) & 0x1ffffffff) << 5 |
         static_cast<uint64_t>(int64_t{rule.bp_offset}) << 38;
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

CachedRule g_rules[kCachedRules];

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

[[gnu::noinline]] PackedRule compute_rule(uint64_t return_address) {
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
  const PackedRule packed = pack(rule);
  // "No information" may change when a library is loaded there: asked again each time.
  if (rule.kind != RuleKind::kNone) {
    CachedRule& entry = g_rules[(return_address * 0x9e3779b97f4a7c15ULL) >> 48];
    entry.rule.store(packed, std::memory_order_relaxed);
    entry.check.store(return_address ^ packed, std::memory_order_relaxed);
  }
  return packed;
}

[[gnu::noinline]] Step step_slowly(Context& context, PackedRule rule) {
  switch (kind_of(rule)) {
    case RuleKind::kSignalFrame:
      context = {word_at(context.sp + kContextIp) + 1, word_at(context.sp + kContextSp),
                 word_at(context.sp + kContextBp)};
      return Step::kCaller;
    case RuleKind::kOutermost:
      return Step::kOutermost;
    case RuleKind::kDereferenceBase: {
      const uint64_t at = context.bp + static_cast<uint64_t>(cfa_offset_of(rule));
      if (at < context.sp || at - context.sp > kMaxFrameBytes) return Step::kIncomplete;
      if (!is_readable(context, at)) return Step::kIncomplete;
      const uint64_t cfa = word_at(at);
      if (cfa <= context.sp || cfa - context.sp > kMaxFrameBytes || (cfa & 7) != 0) {
        return Step::kIncomplete;
      }
      if (!is_readable(context, cfa - 8)) return Step::kIncomplete;
      if ((rule & kSavesBp) != 0) {
        const uint64_t base = saves_bp_at_cfa(rule) ? cfa : context.bp;
        const uint64_t saved = base + static_cast<uint64_t>(bp_offset_of(rule));
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
  for (CachedRule& entry : g_rules) {
    entry.check.store(0, std::memory_order_relaxed);
    entry.rule.store(0, std::memory_order_relaxed);
  }
}

}  // namespace tidemark::stack
