// The call stacks of one process as a tree of callers: what stacks share is kept once. A million
// stacks of a Python program, 50 deep, differ in their innermost few frames. Nor are there many
// addresses in them: some ten thousand, so each is written and named once, for whatever stacks.
#pragma once

#include <tsl/robin_map.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "tidemark/trace/types.h"
#include "tidemark/wire/stack_id.h"

namespace tidemark::collector {

class StackTree {
 public:
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

  struct Node {
    uint32_t address = 0;     // index of addresses()
    uint32_t caller = kNone;  // an earlier node
    trace::StackNodeId written{};
  };
  struct Address {
    uint64_t word = 0;     // of wire/stack_id.h: a return address, or a Python frame
    uint64_t time_ns = 0;  // when it was first seen: which module it belongs to
    // Of the stacks it was seen in: after a module was unloaded it is another one, and the same
    // word another address (wire::stack_root).
    wire::StackId root = 0;
    trace::AddressId written{};
  };

  // Returns the new node's index. `root` counts for an outermost node only.
  uint32_t add(uint64_t word, uint32_t caller, wire::StackId root, uint64_t time_ns) {
    if (caller != kNone) root = addresses_[nodes_[caller].address].root;
    const auto [known, fresh] = by_word_.try_emplace(wire::stack_child(root, word),
                                                     static_cast<uint32_t>(addresses_.size()));
    if (fresh) addresses_.push_back({word, time_ns, root, {}});
    nodes_.push_back({known->second, caller, {}});
    return static_cast<uint32_t>(nodes_.size() - 1);
  }
  // From now on words mean other addresses: a module has gone.
  void forget_words() { by_word_.clear(); }

  std::vector<Node>& nodes() { return nodes_; }
  [[nodiscard]] const std::vector<Node>& nodes() const { return nodes_; }
  std::vector<Address>& addresses() { return addresses_; }
  [[nodiscard]] const std::vector<Address>& addresses() const { return addresses_; }
  [[nodiscard]] uint64_t word(const Node& node) const { return addresses_[node.address].word; }

 private:
  std::vector<Node> nodes_;
  std::vector<Address> addresses_;
  tsl::robin_map<uint64_t, uint32_t> by_word_;  // keys are hashes already
};

}  // namespace tidemark::collector
