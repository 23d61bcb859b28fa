#include "tidemark/stack/unwind.h"

#include "rules.h"

namespace tidemark::stack {

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
    const StepRule rule = rule_at(context.ip);
    result.through_signal |= kind_of(rule) == RuleKind::kSignalFrame;
    switch (step(context, rule)) {
      case Step::kCaller:
        break;
      case Step::kOutermost:
        return result;
      case Step::kIncomplete:
        result.ending = Ending::kIncomplete;
        return result;
      case Step::kIncompleteCaller:
        result.ending = Ending::kIncomplete;
        break;
    }
  }
}

}  // namespace tidemark::stack
