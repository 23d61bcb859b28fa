#include "host_writer.h"

#include <string_view>

#include "host_scan.h"

namespace tidemark::trace {
namespace {

// What is younger than this many allocations when freed is "near". Any figure is right; a larger
// one makes each near chunk overlap more windows, a smaller one makes more far frees.
constexpr int64_t kNearIds = 4 * int64_t{kMaxChunkRows};

constexpr std::string_view kInsertChunk =
    "INSERT INTO host_chunk(kind, rows, first_id, last_id, begin_ns, last_ns, end_ns, layers, "
    "data) "
    "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)";

// Recording must not wait for the compressor; what is kept for good may cost a little more.
constexpr int kRecordingLevel = 1;
constexpr int kFinalLevel = 5;

bool insert_chunk(Statement& insert, const ChunkInfo& info, std::string_view data) {
  insert.bind(1, static_cast<int64_t>(info.kind));
  insert.bind(2, info.rows);
  insert.bind(3, info.first_id);
  insert.bind(4, info.last_id);
  insert.bind(5, info.begin_ns);
  insert.bind(6, info.last_ns);
  insert.bind(7, info.end_ns);
  insert.bind(8, info.layers);
  insert.bind_blob(9, data);
  return insert.run();
}

}  // namespace

HostWriter::HostWriter(sqlite3* db)
    : insert_(db, kInsertChunk, SQLITE_PREPARE_PERSISTENT), encoder_(kRecordingLevel) {}

bool HostWriter::add(const Allocation& row) {
  open_.push_back(row);
  return open_.size() < kMaxChunkRows || write_allocations();
}

bool HostWriter::end(AllocationId id, AllocationId newest, int64_t free_ns, StackId stack) {
  if (Allocation* row = find_row(open_, id)) {
    row->free_ns = free_ns;
    row->free_stack = stack;
    return true;
  }
  return add_free({id, false, free_ns, stack}, newest);
}

bool HostWriter::revive(AllocationId id, AllocationId newest) {
  if (Allocation* row = find_row(open_, id)) {
    row->free_ns = kNever;
    row->free_stack = StackId{};
    return true;
  }
  return add_free({id, true, 0, StackId{}}, newest);
}

bool HostWriter::add_free(const HostFree& free, AllocationId newest) {
  const bool near = static_cast<int64_t>(newest) - static_cast<int64_t>(free.id) < kNearIds;
  std::vector<HostFree>& frees = near ? near_ : far_;
  frees.push_back(free);
  return frees.size() < kMaxChunkRows ||
         write_frees(frees, near ? ChunkKind::kNearFrees : ChunkKind::kFarFrees);
}

bool HostWriter::write_allocations() {
  if (open_.empty()) return true;
  ChunkInfo info;
  const std::string_view data = encode_allocations(encoder_, open_, info);
  const bool ok = insert_chunk(insert_, info, data);
  open_.clear();
  return ok;
}

bool HostWriter::write_frees(std::vector<HostFree>& frees, ChunkKind kind) {
  if (frees.empty()) return true;
  ChunkInfo info;
  info.kind = kind;
  const std::string_view data = encode_frees(encoder_, frees, info);
  const bool ok = insert_chunk(insert_, info, data);
  frees.clear();
  return ok;
}

bool HostWriter::flush() {
  return write_allocations() && write_frees(near_, ChunkKind::kNearFrees) &&
         write_frees(far_, ChunkKind::kFarFrees);
}

Result<void> merge_host_chunks(sqlite3* db, const std::string& path) {
  HostScan scan(db, path, HostFilter{});
  Statement insert(db, kInsertChunk);
  Statement remove(db, "DELETE FROM host_chunk WHERE id=?1");
  ChunkEncoder encoder(kFinalLevel);
  // Without frees a window is one chunk; small ones are gathered until they fill a chunk.
  std::vector<Allocation> rows;
  std::vector<Allocation> pending;
  std::vector<int64_t> replaced;
  const auto write = [&] {
    // Even parts: no small rest at the end.
    size_t parts = (pending.size() + kMaxChunkRows - 1) / kMaxChunkRows;
    for (auto left = std::span<const Allocation>(pending); !left.empty(); --parts) {
      const auto part = left.first((left.size() + parts - 1) / parts);
      ChunkInfo info;
      const std::string_view data = encode_allocations(encoder, part, info);
      if (!insert_chunk(insert, info, data)) return false;
      left = left.subspan(part.size());
    }
    pending.clear();
    return true;
  };
  while (true) {
    if (auto next = scan.next(rows); !next) return next;
    const bool last = rows.empty();
    if (!last) {
      pending.insert(pending.end(), rows.begin(), rows.end());
      for (const ChunkInfo& chunk : scan.window()) replaced.push_back(chunk.row_id);
    }
    if (!last && pending.size() < kMaxChunkRows) continue;
    bool ok = execute(db, "BEGIN") == SQLITE_OK && write();
    for (const int64_t id : replaced) {
      remove.bind(1, id);
      ok = ok && remove.run();
    }
    replaced.clear();
    if (last) {
      ok = ok && execute(db, "DELETE FROM host_chunk WHERE kind<>0") == SQLITE_OK;
    }
    if (!ok || execute(db, "COMMIT") != SQLITE_OK) return tl::unexpected(write_error(db, path));
    if (last) return {};
  }
}

}  // namespace tidemark::trace
