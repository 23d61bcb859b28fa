// Texts and stacks by id, read when first asked for and kept.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "sqlite.h"
#include "stack_chunks.h"
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

// Whether main keeps its stacks in chunks (since format 4).
bool has_stack_chunks(sqlite3* db);

// A trace's stacks, whichever way its version keeps them.
class StackTable {
 public:
  StackTable(sqlite3* db, StringTable& strings);
  // Innermost first. Valid as long as the table. Of a damaged stack one frame, that says so.
  const std::vector<Frame>& frames(StackId id);
  // The same, not kept; damage is found in error().
  std::vector<Frame> read(StackId id);
  // The first stack after `before`, 0: there is none.
  StackId next(StackId before);
  [[nodiscard]] std::string error() const;

 private:
  const Frame& location(int64_t id);
  std::vector<Frame> read_rows(StackId id);
  std::vector<Frame> read_chunks(StackId id);
  // True when a writer has committed since the last call: what was read may have grown.
  bool has_changed();

  sqlite3* db_;
  StringTable& strings_;
  bool chunked_;
  Statement read_location_;
  Statement read_stack_, read_node_, next_stack_;  // unless chunked_
  StackTree tree_;
  std::vector<int64_t> location_ids_;
  std::string row_error_;
  Statement data_version_;  // prepared when first asked for
  int64_t seen_version_ = -1;
  std::unordered_map<int64_t, Frame> locations_;
  std::unordered_map<StackId, std::vector<Frame>> kept_;
};

}  // namespace tidemark::trace
