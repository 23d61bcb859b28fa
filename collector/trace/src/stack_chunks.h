// Stacks of a trace that keeps them in chunks (stack_columns.h), read by id. Nothing in the file is
// trusted: what is impossible ends a walk, what is damaged is found in error().
#pragma once

#include <string>
#include <vector>

#include "chunk_table.h"

namespace tidemark::trace {

// Deeper than any recorded stack: bounds what a damaged tree can cost.
inline constexpr size_t kMaxFrames = 16384;

class StackTree {
 public:
  struct Stack {
    int64_t process = 0;
    int64_t node = 0;
  };
  struct Node {
    int64_t caller = 0;  // a smaller id; 0: outermost
    int64_t address = 0;
  };
  struct Address {
    uint64_t word = 0;
    uint64_t frames = 0;
    uint64_t first = 0;
    bool hook = false;
  };

  // `db` null: a tree without stacks.
  explicit StackTree(sqlite3* db);

  // False: there is none (yet), or it is damaged.
  bool stack(int64_t id, Stack& out);
  bool node(int64_t id, Node& out);
  bool address(int64_t id, Address& out);
  // The location of frame `i` of an address, 0 the innermost.
  bool location(const Address& address, uint64_t i, int64_t& out);

  // From a node outwards: what was recorded, and what it means.
  std::vector<uint64_t> words(int64_t node);
  void locations(int64_t node, std::vector<int64_t>& out);

  [[nodiscard]] const std::string& error() const;
  void clear();  // forgets what was read: a writer may have added to it

 private:
  ChunkTableReader stacks_, nodes_, addresses_, locations_;
};

}  // namespace tidemark::trace
