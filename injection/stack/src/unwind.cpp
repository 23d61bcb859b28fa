#include "tidemark/stack/unwind.h"

#include <atomic>
#include <cstring>

#include "cfi.h"
#include "tidemark/stack/modules.h"

namespace tidemark::stack {
namespace {

// The rule of one instruction address, in 64 bits.
//   bits 0–2 kind · 3 bp saved at CFA · 4 bp saved at bp · 5–37 cfa offset (33, signed)
//   · 38–63 bp offset (26, signed)
uint64_t pack(const Rule& rule) {
  return static_cast<uint64_t>(rule.kind) | uint64_t{rule.bp_saved} << 3 |
         uint64_t{rule.bp_saved_at_base} << 4 |
         (static_cast<uint64_t>(int64_t{rule.cfa_offset}) & 0x1ffffffff) << 5 |
         static_cast<uint64_t>(int64_t{rule.bp_offset}) << 38;
}
RuleKind kind_of(uint64_t packed) { return static_cast<RuleKind>(packed & 7); }
int64_t cfa_offset_of(uint64_t packed) { return static_cast<int64_t>(packed << 26) >> 31; }
int64_t bp_offset_of(uint64_t packed) { return static_cast<int64_t>(packed) >> 38; }

// Shared by all threads without a lock: an entry holds the rule and (address XOR rule), two words
// that are written one after the other. A reader that catches halves of two different entries finds
// that they do not give its address, and computes the rule itself.
struct Entry {
  std::atomic<uint64_t> check;
  std::atomic<uint64_t> rule;
};
constexpr size_t kEntries = size_t{1} << 16;
Entry g_cache[kEntries];

size_t slot_of(uint64_t ip) { return (ip * 0x9e3779b97f4a7c15ULL) >> 48; }
static_assert(kEntries == 1 << 16, "slot_of takes 16 bits");

uint64_t compute_rule(uint64_t return_address) {
  // The call lies before the return address, which may already belong to the next function; a
  // signal frame's address is exact, and its table covers the byte before it on purpose.
  const uint64_t ip = return_address - 1;
  const Module* module = find_module(ip, true);
  if (module == nullptr) return pack({});
  const Rule rule = find_rule(*module, ip);
  constexpr int64_t kFits = int64_t{1} << 25;
  if (rule.bp_offset >= kFits || rule.bp_offset < -kFits) return pack({});
  return pack(rule);
}

uint64_t rule_at(uint64_t return_address) {
  Entry& entry = g_cache[slot_of(return_address)];
  const uint64_t rule = entry.rule.load(std::memory_order_relaxed);
  if ((entry.check.load(std::memory_order_relaxed) ^ rule) == return_address) return rule;
  const uint64_t computed = compute_rule(return_address);
  // "No information" may change when a library is loaded there: asked again each time.
  if (kind_of(computed) != RuleKind::kNone) {
    entry.rule.store(computed, std::memory_order_relaxed);
    entry.check.store(return_address ^ computed, std::memory_order_relaxed);
  }
  return computed;
}

uint64_t word_at(uint64_t address) { return *reinterpret_cast<const uint64_t*>(address); }

// Offsets in the ucontext_t that the kernel leaves where sp points in a signal frame.
constexpr uint64_t kContextBp = 0x78;
constexpr uint64_t kContextSp = 0xa0;
constexpr uint64_t kContextIp = 0xa8;

// A frame larger than this is no frame: the tables lie.
constexpr uint64_t kMaxFrameBytes = uint64_t{1} << 30;

// Code without tables but with a frame pointer (assembler, generated code). Only believed when the
// chain leads upwards on the same stack and into known code.
bool step_by_frame_pointer(Context* context) {
  constexpr uint64_t kNear = uint64_t{1} << 16;
  const uint64_t bp = context->bp;
  if ((bp & 7) != 0 || bp < context->sp || bp - context->sp > kNear) return false;
  const uint64_t ip = word_at(bp + 8);
  if (find_module(ip, false) == nullptr) return false;
  *context = {ip, bp + 16, word_at(bp)};
  return true;
}

}  // namespace

Unwound unwind(const Context& start, uint64_t* addresses, uint32_t capacity) {
  Context context = start;
  Unwound result;
  for (;;) {
    if (context.ip == 0) return result;
    if (result.count == capacity) {
      result.ending = Ending::kTruncated;
      return result;
    }
    addresses[result.count++] = context.ip;
    const uint64_t rule = rule_at(context.ip);
    uint64_t cfa = 0;
    switch (kind_of(rule)) {
      case RuleKind::kStackPointer:
        cfa = context.sp + static_cast<uint64_t>(cfa_offset_of(rule));
        break;
      case RuleKind::kBasePointer:
        cfa = context.bp + static_cast<uint64_t>(cfa_offset_of(rule));
        break;
      case RuleKind::kDereferenceBase: {
        const uint64_t at = context.bp + static_cast<uint64_t>(cfa_offset_of(rule));
        if (at < context.sp || at - context.sp > kMaxFrameBytes) {
          result.ending = Ending::kIncomplete;
          return result;
        }
        cfa = word_at(at);
        break;
      }
      case RuleKind::kSignalFrame:
        context = {word_at(context.sp + kContextIp) + 1, word_at(context.sp + kContextSp),
                   word_at(context.sp + kContextBp)};
        continue;
      case RuleKind::kOutermost:
        return result;
      case RuleKind::kNone:
        result.ending = Ending::kIncomplete;
        if (step_by_frame_pointer(&context)) continue;
        return result;
    }
    // Each frame lies above the one before; anything else would loop or leave the stack.
    if (cfa <= context.sp || cfa - context.sp > kMaxFrameBytes || (cfa & 7) != 0) {
      result.ending = Ending::kIncomplete;
      return result;
    }
    if ((rule & 8) != 0) {
      context.bp = word_at(cfa + static_cast<uint64_t>(bp_offset_of(rule)));
    } else if ((rule & 16) != 0) {
      context.bp = word_at(context.bp + static_cast<uint64_t>(bp_offset_of(rule)));
    }
    context.ip = word_at(cfa - 8);
    context.sp = cfa;
  }
}

void forget_rules() {
  for (Entry& entry : g_cache) {
    entry.check.store(0, std::memory_order_relaxed);
    entry.rule.store(0, std::memory_order_relaxed);
  }
}

}  // namespace tidemark::stack
