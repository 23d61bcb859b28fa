// The call stacks of one process as a tree of callers: what stacks share is kept once. A million
// stacks of a Python program, 50 deep, differ in their innermost few frames.
//
// A node is a return address beneath its caller. Nodes of different generations are different, even
// at the same address: when a module is unloaded, other code may come to lie there.
#pragma once

#include <tsl/robin_map.h>

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace tidemark::collector {

class StackTree {
 public:
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

  struct Node {
    uint64_t address = 0;     // return address
    uint64_t time_ns = 0;     // when it was first seen: which module it belongs to
    uint32_t caller = kNone;  // an earlier node
  };

  // The node of a stack's innermost frame; kNone for an empty stack.
  uint32_t insert(std::span<const uint64_t> innermost_first, uint32_t generation,
                  uint64_t time_ns) {
    uint32_t node = kNone;
    for (size_t i = innermost_first.size(); i-- > 0;) {
      const Key key{innermost_first[i], node, generation};
      const auto [at, fresh] = index_.try_emplace(key, static_cast<uint32_t>(nodes_.size()));
      if (fresh) nodes_.push_back({key.address, time_ns, node});
      node = at->second;
    }
    return node;
  }

  const std::vector<Node>& nodes() const { return nodes_; }

  // The addresses from `node` outwards, innermost first.
  std::vector<uint64_t> path(uint32_t node) const {
    std::vector<uint64_t> addresses;
    for (; node != kNone; node = nodes_[node].caller) addresses.push_back(nodes_[node].address);
    return addresses;
  }

 private:
  struct Key {
    uint64_t address;
    uint32_t caller;
    uint32_t generation;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const noexcept {
      uint64_t hash = (key.address ^ uint64_t{key.caller} << 32) * 0x9e3779b97f4a7c15U;
      hash = (hash ^ hash >> 32 ^ key.generation) * 0x9fb21c651e98df25U;
      return hash ^ hash >> 32;
    }
  };
  std::vector<Node> nodes_;
  tsl::robin_map<Key, uint32_t, Hash> index_;
};

}  // namespace tidemark::collector
