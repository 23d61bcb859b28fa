#include "symbols.h"

#include <utility>

namespace tidemark::trace {

StringTable::StringTable(sqlite3* db)
    : read_(db, "SELECT text FROM main.string WHERE id=?1", SQLITE_PREPARE_PERSISTENT) {}

const std::string& StringTable::text(StringId id) {
  static const std::string none;
  if (id == StringId{}) return none;
  if (const auto found = texts_.find(id); found != texts_.end()) return found->second;
  read_.bind(1, static_cast<int64_t>(id));
  std::string text;
  if (read_.row()) text = read_.text(0);
  read_.reset();
  // Unknown ids are not kept: a live recording may still bring them, a hostile trace has many.
  if (text.empty()) return none;
  return texts_.emplace(id, std::move(text)).first->second;
}

bool has_stack_chunks(sqlite3* db) {
  Statement found(db, "SELECT 1 FROM main.sqlite_master WHERE name='stack_chunk'");
  return found.row();
}

StackTable::StackTable(sqlite3* db, StringTable& strings)
    : db_(db),
      strings_(strings),
      chunked_(has_stack_chunks(db)),
      read_location_(db,
                     "SELECT kind, function_id, file_id, line, module_id, inlined FROM "
                     "main.location WHERE id=?1",
                     SQLITE_PREPARE_PERSISTENT),
      tree_(chunked_ ? db : nullptr) {
  if (chunked_) return;
  const auto prepare = [&](const char* sql) {
    return Statement(db, sql, SQLITE_PREPARE_PERSISTENT);
  };
  read_stack_ = prepare("SELECT node_id FROM main.stack WHERE id=?1");
  read_node_ = prepare("SELECT parent_id, location_id FROM main.stack_node WHERE id=?1");
  next_stack_ = prepare("SELECT id FROM main.stack WHERE id>?1 ORDER BY id LIMIT 1");
}

const Frame& StackTable::location(int64_t id) {
  if (const auto found = locations_.find(id); found != locations_.end()) return found->second;
  Frame frame;
  read_location_.bind(1, id);
  if (read_location_.row()) {
    frame.kind = read_location_.integer(0) == 1 ? FrameKind::kPython : FrameKind::kNative;
    frame.function = strings_.text(static_cast<StringId>(read_location_.integer(1)));
    frame.file = strings_.text(static_cast<StringId>(read_location_.integer(2)));
    frame.line = static_cast<int32_t>(read_location_.integer(3));
    frame.module = strings_.text(static_cast<StringId>(read_location_.integer(4)));
    frame.inlined = read_location_.integer(5) != 0;
  }
  read_location_.reset();
  return locations_.emplace(id, std::move(frame)).first->second;
}

std::vector<Frame> StackTable::read_rows(StackId id) {
  std::vector<Frame> frames;
  read_stack_.bind(1, static_cast<int64_t>(id));
  int64_t node = read_stack_.row() ? read_stack_.integer(0) : 0;
  read_stack_.reset();
  while (node > 0 && frames.size() < kMaxFrames) {
    read_node_.bind(1, node);
    const bool found = read_node_.row();
    const int64_t parent = found ? read_node_.integer(0) : 0;
    const int64_t location_id = found ? read_node_.integer(1) : 0;
    read_node_.reset();
    if (!found) break;
    frames.push_back(location(location_id));
    if (parent >= node) break;  // a damaged tree: parents have smaller ids
    node = parent;
  }
  return frames;
}

std::vector<Frame> StackTable::read_chunks(StackId id) {
  std::vector<Frame> frames;
  StackTree::Stack stack;
  if (!tree_.stack(static_cast<int64_t>(id), stack)) return frames;
  tree_.locations(stack.node, location_ids_);
  for (const int64_t location_id : location_ids_) frames.push_back(location(location_id));
  return frames;
}

bool StackTable::has_changed() {
  if (data_version_.get() == nullptr) {
    data_version_ = Statement(db_, "PRAGMA main.data_version", SQLITE_PREPARE_PERSISTENT);
  }
  const int64_t version = data_version_.row() ? data_version_.integer(0) : seen_version_;
  data_version_.reset();
  return std::exchange(seen_version_, version) != version;
}

std::string StackTable::error() const { return row_error_.empty() ? tree_.error() : row_error_; }

std::vector<Frame> StackTable::read(StackId id) {
  return chunked_ ? read_chunks(id) : read_rows(id);
}

StackId StackTable::next(StackId before) {
  const auto id = static_cast<int64_t>(before);
  if (chunked_) {
    StackTree::Stack stack;
    return tree_.stack(id + 1, stack) ? static_cast<StackId>(id + 1) : StackId{};
  }
  next_stack_.bind(1, id);
  const auto found = static_cast<StackId>(next_stack_.row() ? next_stack_.integer(0) : 0);
  if (found == StackId{} && !next_stack_.done()) row_error_ = sqlite3_errmsg(db_);
  next_stack_.reset();
  return found;
}

const std::vector<Frame>& StackTable::frames(StackId id) {
  static const std::vector<Frame> none;
  static const std::vector<Frame> damaged = {
      {FrameKind::kNative, "[stack unreadable: the trace is damaged]", "", 0, "", false}};
  if (id == StackId{}) return none;
  if (const auto found = kept_.find(id); found != kept_.end()) return found->second;
  auto frames = read(id);
  // A live recording may have brought it since.
  if (frames.empty() && chunked_ && has_changed()) {
    tree_.clear();
    frames = read(id);
  }
  if (!error().empty()) return damaged;
  if (frames.empty()) return none;
  return kept_.emplace(id, std::move(frames)).first->second;
}

}  // namespace tidemark::trace
