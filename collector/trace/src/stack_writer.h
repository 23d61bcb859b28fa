// Stacks as a tree of callers: nodes and locations that stacks share are stored once. Functions
// return false when SQLite failed.
#pragma once

#include <functional>
#include <span>
#include <unordered_map>

#include "sqlite.h"
#include "tidemark/trace/types.h"

namespace tidemark::trace {

class StackWriter {
 public:
  using Intern = std::function<StringId(std::string_view)>;
  explicit StackWriter(sqlite3* db);

  bool add(StackId id, ProcessId process, std::span<const uint64_t> addresses);
  bool define(StackId id, std::span<const Frame> innermost_first, const Intern& intern);

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
  int64_t location_id(const Location& location, bool& ok);
  int64_t node_id(const Node& node, bool& ok);

  Statement insert_addresses_, insert_stack_, remove_addresses_, insert_location_, insert_node_;
  std::unordered_map<Location, int64_t, Hash> locations_;
  std::unordered_map<Node, int64_t, Hash> nodes_;
  std::string bytes_;
};

}  // namespace tidemark::trace
