// What the kernel nodes of CUDA graphs were handed when they were made, and their copies: a graph
// may be launched long after, and as often as one likes. Pure. Bounded: beyond kCapacity the oldest
// node is forgotten, because graphs that were destroyed are not told of.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tidemark/trace/types.h"

namespace tidemark::collector {

class GraphNodes {
 public:
  static constexpr size_t kCapacity = 1'000'000;
  using Blocks = std::vector<trace::AllocationId>;

  void add(uint64_t node, Blocks blocks) {
    put(node, std::make_shared<const Blocks>(std::move(blocks)));
  }
  // Nothing where the source is unknown: it launches no kernel.
  void copy(uint64_t node, uint64_t source) {
    const auto found = nodes_.find(source);
    if (found != nodes_.end()) put(node, std::shared_ptr<const Blocks>(found->second));
  }
  // nullptr: unknown.
  [[nodiscard]] const Blocks* find(uint64_t node) const {
    const auto found = nodes_.find(node);
    return found == nodes_.end() ? nullptr : found->second.get();
  }

 private:
  void put(uint64_t node, std::shared_ptr<const Blocks> blocks) {
    if (!nodes_.insert_or_assign(node, std::move(blocks)).second) return;
    oldest_first_.push_back(node);
    if (oldest_first_.size() <= kCapacity) return;
    nodes_.erase(oldest_first_.front());
    oldest_first_.pop_front();
  }

  std::unordered_map<uint64_t, std::shared_ptr<const Blocks>> nodes_;
  std::deque<uint64_t> oldest_first_;
};

}  // namespace tidemark::collector
