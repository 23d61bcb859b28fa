// The call stacks of one process as a tree of callers: what stacks share is kept once. A million
// stacks of a Python program, 50 deep, differ in their innermost few frames.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace tidemark::collector {

class StackTree {
 public:
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

  struct Node {
    uint64_t address = 0;     // word of wire/stack_id.h: a return address, or a Python frame
    uint64_t time_ns = 0;     // when it was first seen: which module it belongs to
    uint32_t caller = kNone;  // an earlier node
  };

  // Returns the new node's index.
  uint32_t add(uint64_t address, uint32_t caller, uint64_t time_ns) {
    nodes_.push_back({address, time_ns, caller});
    return static_cast<uint32_t>(nodes_.size() - 1);
  }

  const std::vector<Node>& nodes() const { return nodes_; }

  // The words from `node` outwards, innermost first.
  std::vector<uint64_t> path(uint32_t node) const {
    std::vector<uint64_t> words;
    for (; node != kNone; node = nodes_[node].caller) words.push_back(nodes_[node].address);
    return words;
  }

 private:
  std::vector<Node> nodes_;
};

}  // namespace tidemark::collector
