#include "stack_writer.h"

namespace tidemark::trace {
namespace {

size_t mix(size_t hash, int64_t value) {
  hash = (hash ^ static_cast<size_t>(value)) * 0x9e3779b97f4a7c15U;
  return hash ^ hash >> 29;
}

}  // namespace

size_t StackWriter::Hash::operator()(const Location& location) const {
  size_t hash = mix(0, static_cast<int64_t>(location.function));
  hash = mix(hash, static_cast<int64_t>(location.file));
  hash = mix(hash, static_cast<int64_t>(location.module));
  return mix(hash, int64_t{location.line} * 4 + static_cast<int64_t>(location.kind) * 2 +
                       (location.inlined ? 1 : 0));
}

size_t StackWriter::Hash::operator()(const Node& node) const {
  return mix(mix(0, node.parent), node.location);
}

StackWriter::StackWriter(sqlite3* db)
    : insert_addresses_(db, "INSERT INTO stack_address VALUES(?1,?2,?3,?4)",
                        SQLITE_PREPARE_PERSISTENT),
      insert_stack_(db,
                    "INSERT INTO stack VALUES(?1,(SELECT process_id FROM stack_address WHERE "
                    "stack_id=?1),?2) ON CONFLICT(id) DO UPDATE SET node_id=excluded.node_id",
                    SQLITE_PREPARE_PERSISTENT),
      insert_location_(db, "INSERT INTO location VALUES(?1,?2,?3,?4,?5,?6,?7)",
                       SQLITE_PREPARE_PERSISTENT),
      insert_node_(db, "INSERT INTO stack_node VALUES(?1,?2,?3)", SQLITE_PREPARE_PERSISTENT) {}

bool StackWriter::add(StackId id, ProcessId process, std::span<const uint64_t> addresses) {
  // Stacks that follow each other share their outer frames, mostly: only what differs is written.
  size_t shared = 0;
  while (shared < addresses.size() && shared < previous_.size() &&
         addresses[addresses.size() - 1 - shared] == previous_[previous_.size() - 1 - shared]) {
    ++shared;
  }
  previous_.assign(addresses.begin(), addresses.end());
  bytes_.clear();
  for (const uint64_t address : addresses.first(addresses.size() - shared)) {
    for (int shift = 0; shift < 64; shift += 8) bytes_ += static_cast<char>(address >> shift);
  }
  insert_addresses_.bind(1, static_cast<int64_t>(id));
  insert_addresses_.bind_unless(2, static_cast<int64_t>(process), 0);
  insert_addresses_.bind(3, static_cast<int64_t>(shared));
  insert_addresses_.bind_blob(4, bytes_);
  return insert_addresses_.run();
}

FrameId StackWriter::frame(const Frame& frame, const Intern& intern, bool& ok) {
  const Location location{
      intern(frame.function), intern(frame.file), intern(frame.module), frame.line, frame.kind,
      frame.inlined};
  const auto [at, added] =
      locations_.try_emplace(location, static_cast<int64_t>(locations_.size()) + 1);
  if (!added) return static_cast<FrameId>(at->second);
  insert_location_.bind(1, at->second);
  insert_location_.bind(2, static_cast<int64_t>(location.kind));
  insert_location_.bind_unless(3, static_cast<int64_t>(location.function), 0);
  insert_location_.bind_unless(4, static_cast<int64_t>(location.file), 0);
  insert_location_.bind_unless(5, location.line, 0);
  insert_location_.bind_unless(6, static_cast<int64_t>(location.module), 0);
  insert_location_.bind(7, location.inlined ? 1 : 0);
  ok = insert_location_.run() && ok;
  return static_cast<FrameId>(at->second);
}

StackNodeId StackWriter::node(StackNodeId caller, FrameId frame, bool& ok) {
  const Node node{static_cast<int64_t>(caller), static_cast<int64_t>(frame)};
  // A parent is made before its child, so its id is smaller; readers rely on it.
  const auto [at, added] = nodes_.try_emplace(node, static_cast<int64_t>(nodes_.size()) + 1);
  if (!added) return static_cast<StackNodeId>(at->second);
  insert_node_.bind(1, at->second);
  insert_node_.bind_unless(2, node.parent, 0);
  insert_node_.bind(3, node.location);
  ok = insert_node_.run() && ok;
  return static_cast<StackNodeId>(at->second);
}

bool StackWriter::define(StackId id, StackNodeId innermost) {
  insert_stack_.bind(1, static_cast<int64_t>(id));
  insert_stack_.bind_unless(2, static_cast<int64_t>(innermost), 0);
  return insert_stack_.run();
}

bool StackWriter::drop_addresses(sqlite3* db) {
  // Each row builds upon the one before, so all go when the last stack has been defined.
  Statement drop(db,
                 "DELETE FROM stack_address WHERE NOT EXISTS(SELECT 1 FROM stack_address WHERE "
                 "stack_id NOT IN (SELECT id FROM stack))");
  return drop.run();
}

}  // namespace tidemark::trace
