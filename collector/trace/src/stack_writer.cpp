#include "stack_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "stack_chunks.h"

namespace tidemark::trace {
namespace {

constexpr int kQuickLevel = -3;
constexpr int kGoodLevel = 3;

size_t mix(size_t hash, int64_t value) {
  hash = (hash ^ static_cast<size_t>(value)) * 0x9e3779b97f4a7c15U;
  return hash ^ hash >> 29;
}

}  // namespace

ChunkTableWriter::ChunkTableWriter(sqlite3* db, const char* table,
                                   std::span<const ColumnPlan> plans)
    : insert_(db, fmt::format("INSERT OR REPLACE INTO {} VALUES(?1,?2,?3)", table),
              SQLITE_PREPARE_PERSISTENT),
      plans_(plans) {}

bool ChunkTableWriter::write(size_t number, std::span<const Column> columns,
                             ChunkEncoder& encoder) {
  const size_t rows = columns[0].size();
  const std::string_view data = encoder.encode(rows, columns, plans_);
  insert_.bind(1, static_cast<int64_t>(number) + 1);
  insert_.bind(2, static_cast<int64_t>(rows));
  insert_.bind_blob(3, data);
  return insert_.run();
}

size_t StackWriter::Hash::operator()(const Location& location) const {
  size_t hash = mix(0, static_cast<int64_t>(location.function));
  hash = mix(hash, static_cast<int64_t>(location.file));
  hash = mix(hash, static_cast<int64_t>(location.module));
  return mix(hash, int64_t{location.line} * 4 + static_cast<int64_t>(location.kind) * 2 +
                       (location.inlined ? 1 : 0));
}

StackWriter::StackWriter(sqlite3* db)
    : insert_location_(db, "INSERT INTO location VALUES(?1,?2,?3,?4,?5,?6,?7)",
                       SQLITE_PREPARE_PERSISTENT),
      address_writer_(db, kAddressTable.name, kAddressTable.plans),
      stacks_(db, kStackTable),
      nodes_(db, kNodeTable),
      address_locations_(db, kAddressLocationTable),
      good_(kGoodLevel),
      quick_(kQuickLevel) {}

AddressId StackWriter::add_address(ProcessId process, uint64_t word, int64_t time_ns) {
  const size_t chunk = addresses_.size() / kMaxChunkRows;
  if (chunk == changed_.size()) changed_.push_back(true);
  changed_[chunk] = true;
  addresses_.push_back({word, time_ns, 0, process, 0, 0});
  return static_cast<AddressId>(addresses_.size());
}

StackNodeId StackWriter::add_node(StackNodeId caller, AddressId address, bool& ok) {
  // A caller is added before what it calls: readers rely on it.
  const int64_t distance =
      caller == StackNodeId{} ? 0 : nodes_.next_id() - static_cast<int64_t>(caller);
  return static_cast<StackNodeId>(
      nodes_.add({static_cast<uint64_t>(distance), static_cast<uint64_t>(address)}, good_, ok));
}

StackId StackWriter::add_stack(ProcessId process, StackNodeId innermost, bool& ok) {
  return static_cast<StackId>(
      stacks_.add({static_cast<uint64_t>(process), static_cast<uint64_t>(innermost)}, good_, ok));
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

bool StackWriter::name(AddressId id, std::span<const FrameId> frames, bool hook) {
  const auto index = static_cast<size_t>(id) - 1;
  if (index >= addresses_.size()) return true;
  Address& address = addresses_[index];
  address.first = address_locations_.next_id();
  address.frames = static_cast<uint32_t>(frames.size()) & 0x7fffffffU;
  address.hook = hook ? 1 : 0;
  changed_[index / kMaxChunkRows] = true;
  bool ok = true;
  for (const FrameId frame : frames) {
    address_locations_.add({static_cast<uint64_t>(frame)}, good_, ok);
  }
  return ok;
}

bool StackWriter::write_addresses(size_t chunk, ChunkEncoder& encoder) {
  const size_t begin = chunk * kMaxChunkRows;
  const auto rows =
      std::span(addresses_).subspan(begin, std::min(kMaxChunkRows, addresses_.size() - begin));
  ColumnBuffers& buffers = encoder.buffers();
  std::array<Column, kAddressColumns> columns;
  const auto fill = [&](AddressColumn column, auto value) {
    uint64_t* values = buffers.column(column);
    for (size_t i = 0; i < rows.size(); ++i) values[i] = static_cast<uint64_t>(value(rows[i]));
    columns[column] = Column(values, rows.size());
  };
  fill(kAddressProcess, [](const Address& address) { return address.process; });
  fill(kAddressWord, [](const Address& address) { return address.word; });
  fill(kAddressNs, [](const Address& address) { return address.time_ns; });
  fill(kAddressFirst, [](const Address& address) { return address.first; });
  fill(kAddressFrames, [](const Address& address) { return address.frames; });
  fill(kAddressHook, [](const Address& address) { return address.hook; });
  return address_writer_.write(chunk, columns, encoder);
}

bool StackWriter::flush(For reason) {
  ChunkEncoder& encoder = reason == For::kGood ? good_ : quick_;
  for (size_t chunk = 0; chunk < changed_.size(); ++chunk) {
    if (!changed_[chunk]) continue;
    changed_[chunk] = false;
    if (!write_addresses(chunk, encoder)) return false;
  }
  return stacks_.flush(encoder) && nodes_.flush(encoder) && address_locations_.flush(encoder);
}

bool StackWriter::write_plain(sqlite3* db) {
  Statement insert_node(db, "INSERT INTO stack_node VALUES(?1,?2,?3)");
  Statement insert_stack(db, "INSERT INTO stack VALUES(?1,?2,?3)");
  StackTree tree(db);
  std::map<std::pair<int64_t, int64_t>, int64_t> nodes;  // by parent and location
  std::vector<int64_t> locations;
  StackTree::Stack stack;
  for (size_t index = 1; index < in_rows_.size(); ++index) {
    const auto id = static_cast<int64_t>(index);
    if (!in_rows_[index] || !tree.stack(id, stack)) continue;
    tree.locations(stack.node, locations);
    int64_t node = 0;
    for (size_t i = locations.size(); i-- > 0;) {
      const auto next = static_cast<int64_t>(nodes.size()) + 1;
      const auto [at, added] = nodes.try_emplace({node, locations[i]}, next);
      if (added) {
        insert_node.bind(1, next);
        insert_node.bind_unless(2, node, 0);
        insert_node.bind(3, locations[i]);
        if (!insert_node.run()) return false;
      }
      node = at->second;
    }
    insert_stack.bind(1, id);
    insert_stack.bind_unless(2, stack.process, 0);
    insert_stack.bind_unless(3, node, 0);
    if (!insert_stack.run()) return false;
  }
  return true;
}

}  // namespace tidemark::trace
