#include "symbols.h"

namespace tidemark::trace {
namespace {

// Deeper than any recorded stack: bounds what a damaged tree can cost.
constexpr size_t kMaxFrames = 16384;

}  // namespace

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

StackTable::StackTable(sqlite3* db, StringTable& strings)
    : strings_(strings),
      read_stack_(db, "SELECT node_id FROM main.stack WHERE id=?1", SQLITE_PREPARE_PERSISTENT),
      read_node_(db, "SELECT parent_id, location_id FROM main.stack_node WHERE id=?1",
                 SQLITE_PREPARE_PERSISTENT),
      read_location_(db,
                     "SELECT kind, function_id, file_id, line, module_id, inlined FROM "
                     "main.location WHERE id=?1",
                     SQLITE_PREPARE_PERSISTENT) {}

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

std::vector<Frame> StackTable::read(StackId id) {
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

const std::vector<Frame>& StackTable::frames(StackId id) {
  static const std::vector<Frame> none;
  if (id == StackId{}) return none;
  if (const auto found = stacks_.find(id); found != stacks_.end()) return found->second;
  auto frames = read(id);
  if (frames.empty()) return none;
  return stacks_.emplace(id, std::move(frames)).first->second;
}

}  // namespace tidemark::trace
