// Texts and stacks by id, read when first asked for and kept.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "sqlite.h"
#include "tidemark/trace/types.h"

namespace tidemark::trace {

class StringTable {
 public:
  explicit StringTable(sqlite3* db);
  // Unknown ids give "". Valid as long as the table.
  const std::string& text(StringId id);

 private:
  Statement read_;
  std::unordered_map<StringId, std::string> texts_;
};

class StackTable {
 public:
  StackTable(sqlite3* db, StringTable& strings);
  // Innermost first. Valid as long as the table.
  const std::vector<Frame>& frames(StackId id);
  // The same, not kept.
  std::vector<Frame> read(StackId id);

 private:
  const Frame& location(int64_t id);

  StringTable& strings_;
  Statement read_stack_, read_node_, read_location_;
  std::unordered_map<int64_t, Frame> locations_;
  std::unordered_map<StackId, std::vector<Frame>> stacks_;
};

}  // namespace tidemark::trace
