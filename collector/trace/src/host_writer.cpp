#include "host_writer.h"

#include <algorithm>
#include <string_view>

namespace tidemark::trace {
namespace {

// What is younger than this many allocations when freed is "near". Any figure is right; a larger
// one makes each near chunk overlap more windows, a smaller one makes more far frees.
constexpr int64_t kNearIds = 4 * int64_t{kMaxChunkRows};

constexpr std::string_view kInsertChunk =
    "INSERT INTO host_chunk(kind, rows, first_id, last_id, begin_ns, last_ns, end_ns, layers, "
    "data) "
    "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)";

// Recording must not wait for the compressor; what is kept for good may cost more.
constexpr int kRecordingLevel = -3;
// Less of a chunk is not worth one of its own: what is predicted begins anew in each.
constexpr size_t kFewestBrief = kMaxChunkRows / 2;
// More than most take.
constexpr int64_t kBytesOfRow = 10;

}  // namespace

bool write_chunk(Statement& statement, const ChunkInfo& info, std::string_view data) {
  statement.bind(1, static_cast<int64_t>(info.kind));
  statement.bind(2, info.rows);
  statement.bind(3, info.first_id);
  statement.bind(4, info.last_id);
  statement.bind(5, info.begin_ns);
  statement.bind(6, info.last_ns);
  statement.bind(7, info.end_ns);
  statement.bind(8, info.layers);
  statement.bind_blob(9, data);
  return statement.run();
}

Statement prepare_insert_chunk(sqlite3* db) {
  return Statement(db,
                   "INSERT INTO host_chunk(kind, rows, first_id, last_id, begin_ns, last_ns, "
                   "end_ns, layers, data) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
                   SQLITE_PREPARE_PERSISTENT);
}

HostWriter::HostWriter(sqlite3* db)
    : insert_(prepare_insert_chunk(db)), encoder_(kRecordingLevel) {}

bool HostWriter::add(AllocationId id, const Allocation& row) {
  OpenChunk& chunk = open_[newest_];
  Allocation& added = chunk.emplace_back(row);
  added.id = id;
  added.free_ns = kNever;
  added.free_stack = StackId{};
  return chunk.size() < kMaxChunkRows || open_next();
}

bool HostWriter::open_next() {
  newest_ = (newest_ + 1) % kOpenChunks;
  return write_allocations(open_[newest_]);
}

Allocation* HostWriter::find_open(AllocationId id) {
  for (size_t age = 0; age < kOpenChunks; ++age) {
    OpenChunk& chunk = open_[(newest_ + kOpenChunks - age) % kOpenChunks];
    if (!chunk.empty() && id >= chunk.front().id) return find_row(chunk, id);
  }
  return nullptr;
}

bool HostWriter::end(AllocationId id, AllocationId newest, int64_t free_ns, StackId stack) {
  if (Allocation* row = find_open(id)) {
    row->free_ns = free_ns;
    row->free_stack = stack;
    return true;
  }
  return add_free({id, false, free_ns, stack}, newest);
}

bool HostWriter::revive(AllocationId id, AllocationId newest) {
  if (Allocation* row = find_open(id)) {
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

bool HostWriter::write_rows(ChunkKind kind, std::span<const Allocation> rows) {
  ChunkInfo info;
  encoder_.set_level(kind == ChunkKind::kAllocations ? kRecordingLevel : kFinalLevel);
  const std::string_view data = encode_allocations(encoder_, kind, rows, info);
  return write_chunk(insert_, info, data);
}

bool HostWriter::write_allocations(OpenChunk& chunk) {
  const auto is_brief = [](const Allocation& row) {
    return row.free_ns != kNever && settled_kind(row) == ChunkKind::kSettled;
  };
  const auto brief = static_cast<size_t>(std::count_if(chunk.begin(), chunk.end(), is_brief));
  bool ok = true;
  if (settles_ && brief >= kFewestBrief) {
    brief_.clear();
    std::copy_if(chunk.begin(), chunk.end(), std::back_inserter(brief_), is_brief);
    std::erase_if(chunk, is_brief);
    ok = write_rows(ChunkKind::kSettled, brief_);
  }
  if (!chunk.empty()) ok = ok && write_rows(ChunkKind::kAllocations, chunk);
  chunk.clear();
  return ok;
}

bool HostWriter::write_frees(std::vector<HostFree>& frees, ChunkKind kind) {
  if (frees.empty()) return true;
  ChunkInfo info;
  info.kind = kind;
  encoder_.set_level(kRecordingLevel);
  const std::string_view data = encode_frees(encoder_, frees, info);
  const bool ok = write_chunk(insert_, info, data);
  frees.clear();
  return ok;
}

int64_t HostWriter::open_bytes() const {
  size_t rows = (near_.size() + far_.size()) / 2;
  for (const OpenChunk& chunk : open_) rows += chunk.size();
  return static_cast<int64_t>(rows) * kBytesOfRow;
}

bool HostWriter::flush() {
  // Oldest first.
  for (size_t i = 1; i <= kOpenChunks; ++i) {
    if (!write_allocations(open_[(newest_ + i) % kOpenChunks])) return false;
  }
  return write_frees(near_, ChunkKind::kNearFrees) && write_frees(far_, ChunkKind::kFarFrees);
}

}  // namespace tidemark::trace
