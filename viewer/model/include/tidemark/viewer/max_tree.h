// Where the largest of any run of values stands, and the values of a run from the largest down,
// without looking at all of them: what a level of detail must never lose.
//
//   level 1   [ max of 8 values ][ max of 8 values ] …
//   level 2   [       max of 8 entries of level 1       ] …
//
// 15 % of the values' memory. Immutable after building; any number of threads may ask.
#pragma once

#include <cstddef>
#include <cstdint>
#include <queue>
#include <span>
#include <vector>

namespace tidemark::viewer {

class MaxTree {
 public:
  static constexpr size_t kFan = 8;

  MaxTree() = default;
  explicit MaxTree(std::vector<uint64_t> values);

  size_t size() const { return levels_.empty() ? 0 : levels_.front().size(); }
  uint64_t value(size_t index) const { return levels_.front()[index]; }
  // The first of the largest in [first, last); `last` when the run is empty.
  size_t largest(size_t first, size_t last) const;

  // A walk over several runs, of one tree or of several, from the largest value down.
  class Descent {
   public:
    // `key` comes back with each place, to tell runs apart.
    void add(const MaxTree& tree, size_t first, size_t last, uint32_t key);
    struct Place {
      uint32_t key = 0;
      size_t index = 0;
    };
    // False: nothing is left.
    bool next(Place* place);

   private:
    struct Node {
      uint64_t value;
      const MaxTree* tree;
      uint32_t key;
      uint32_t level;
      size_t index;
      bool operator<(const Node& other) const { return value < other.value; }
    };
    std::priority_queue<Node> nodes_;
  };

 private:
  // Calls visit(level, index) for nodes that together are exactly [first, last).
  template <class Visit>
  void cover(size_t first, size_t last, Visit visit) const;

  std::vector<std::vector<uint64_t>> levels_;  // [0]: the values
};

}  // namespace tidemark::viewer
