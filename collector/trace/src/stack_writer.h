// Stacks as a tree of callers: nodes and locations that stacks share are stored once. Functions
// return false when SQLite failed.
#pragma once

#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "sqlite.h"
#include "tidemark/trace/types.h"

namespace tidemark::trace {

class StackWriter {
 public:
  using Intern = std::function<StringId(std::string_view)>;
  explicit StackWriter(sqlite3* db);

  bool add(StackId id, ProcessId process, std::span<const uint64_t> addresses);
  // Set `ok` to false when SQLite failed.
  FrameId frame(const Frame& frame, const Intern& intern, bool& ok);
  StackNodeId node(StackNodeId caller, FrameId frame, bool& ok);
  bool define(StackId id, StackNodeId innermost);
  // When all stacks are defined: nobody needs their addresses any more.
  bool drop_addresses(sqlite3* db);

 private:
  struct Location {
    StringId function, file, module;
    int32_t line;
    FrameKind kind;
    bool inlined;
    bool operator==(const Location&) const = default;
  };
  struct Node {
    int64_t parent, location;
    bool operator==(const Node&) const = default;
  };
  struct Hash {
    size_t operator()(const Location& location) const;
    size_t operator()(const Node& node) const;
  };

  Statement insert_addresses_, insert_stack_, insert_location_, insert_node_;
  std::unordered_map<Location, int64_t, Hash> locations_;
  std::unordered_map<Node, int64_t, Hash> nodes_;
  std::string bytes_;
  std::vector<uint64_t> previous_;  // addresses of the stack added last
};

}  // namespace tidemark::trace
