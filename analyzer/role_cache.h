// The role of each stack of a trace, worked out once. Private to the analyzer; not shared between
// threads.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "stack_roles.h"

namespace tidemark::analyzer {

class RoleCache {
 public:
  explicit RoleCache(const trace::Reader& reader) : reader_(reader) {
    for (const trace::Thread& thread : reader.threads()) {
      if (backward_thread(thread.name)) backward_.insert(static_cast<int32_t>(thread.id));
    }
  }

  // Valid as long as the cache.
  const StackRole& role(trace::StackId stack) {
    if (!looks_at(stack)) return unknown_;
    const auto [found, fresh] = roles_.try_emplace(static_cast<int64_t>(stack));
    if (fresh) found->second = role_of_stack(reader_.frames(stack));
    return found->second;
  }

  // From now on only these stacks are looked at: of all others nothing is known. nullptr: all are.
  void look_only_at(const std::unordered_set<int64_t>* stacks) { only_ = stacks; }
  bool looks_at(trace::StackId stack) const {
    return only_ == nullptr || only_->contains(static_cast<int64_t>(stack));
  }

  // Also by the thread, where the frames do not tell.
  std::optional<Phase> phase_of(trace::StackId stack, trace::ThreadId thread) {
    return phase_on(thread, role(stack).phase);
  }

  // `by_frames`: the phase of the stack's role.
  std::optional<Phase> phase_on(trace::ThreadId thread, std::optional<Phase> by_frames) const {
    if (!by_frames && !backward_.empty() && backward_.contains(static_cast<int32_t>(thread))) {
      return Phase::kBackward;
    }
    return by_frames;
  }

 private:
  const trace::Reader& reader_;
  std::unordered_map<int64_t, StackRole> roles_;
  std::unordered_set<int32_t> backward_;
  const std::unordered_set<int64_t>* only_ = nullptr;
  const StackRole unknown_;
};

}  // namespace tidemark::analyzer
