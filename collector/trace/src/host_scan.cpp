#include "host_scan.h"

#include <algorithm>

namespace tidemark::trace {
namespace {

// Bounds memory (about 100 bytes a row) where frees must be applied.
constexpr size_t kWindowRows = 16 * kMaxChunkRows;

}  // namespace

HostScan::HostScan(sqlite3* db, std::string path, const HostFilter& filter)
    : db_(db),
      path_(std::move(path)),
      filter_(filter),
      read_data_(db, "SELECT data FROM main.host_chunk WHERE id=?1") {}

Result<void> HostScan::load_index() {
  indexed_ = true;
  Statement index(
      db_,
      "SELECT id, kind, rows, first_id, last_id, begin_ns, last_ns, end_ns, layers FROM "
      "main.host_chunk ORDER BY id");
  int64_t before = std::numeric_limits<int64_t>::min();
  while (index.row()) {
    const ChunkInfo chunk{index.integer(0),
                          static_cast<ChunkKind>(index.integer(1)),
                          static_cast<uint32_t>(index.integer(2)),
                          index.integer(3),
                          index.integer(4),
                          index.integer(5),
                          index.integer(6),
                          index.integer(7),
                          static_cast<uint8_t>(index.integer(8))};
    if (chunk.row_id <= before || chunk.kind > ChunkKind::kFarFrees || chunk.first_id < 1 ||
        chunk.last_id < chunk.first_id || chunk.rows > kMaxChunkRows) {
      return tl::unexpected(damaged(path_, "the list of chunks is impossible"));
    }
    before = chunk.row_id;
    (chunk.kind == ChunkKind::kAllocations ? allocations_
     : chunk.kind == ChunkKind::kNearFrees ? near_
                                           : far_)
        .push_back(chunk);
  }
  if (!index.done()) return tl::unexpected(read_error(db_, path_));
  std::sort(allocations_.begin(), allocations_.end(),
            [](const ChunkInfo& a, const ChunkInfo& b) { return a.first_id < b.first_id; });
  for (size_t i = 1; i < allocations_.size(); ++i) {
    if (allocations_[i].first_id <= allocations_[i - 1].last_id) {
      return tl::unexpected(damaged(path_, "chunks overlap"));
    }
  }
  return {};
}

bool HostScan::may_match(const ChunkInfo& chunk) const {
  // A free that is still to be applied moves free_ns either way (a free, a revival).
  return (chunk.layers & filter_.layers) != 0 && chunk.first_id <= filter_.last_id &&
         chunk.last_id >= filter_.first_id && chunk.begin_ns <= filter_.last_alloc_ns &&
         chunk.last_ns >= filter_.first_alloc_ns &&
         (has_frees() || chunk.end_ns >= filter_.min_free_ns);
}

Result<std::string_view> HostScan::data_of(const ChunkInfo& chunk) {
  read_data_.reset();
  read_data_.bind(1, chunk.row_id);
  if (read_data_.row()) return read_data_.blob(0);
  if (read_data_.done()) return tl::unexpected(damaged(path_, "a chunk is missing"));
  return tl::unexpected(read_error(db_, path_));
}

Result<void> HostScan::read_window(std::vector<Allocation>& rows) {
  // Without frees each chunk stands for itself.
  const size_t enough = has_frees() ? kWindowRows : 1;
  for (; next_ < allocations_.size() && rows.size() < enough; ++next_) {
    const ChunkInfo& chunk = allocations_[next_];
    if (!may_match(chunk)) continue;
    const auto data = data_of(chunk);
    if (!data) return tl::unexpected(data.error());
    if (auto decoded = decode_allocations(decoder_, *data, chunk, rows); !decoded) {
      return tl::unexpected(damaged(path_, decoded.error().message));
    }
    window_.push_back(chunk);
  }
  read_data_.reset();
  return {};
}

Result<void> HostScan::apply(const std::vector<ChunkInfo>& chunks, std::vector<Allocation>& rows) {
  for (const ChunkInfo& chunk : chunks) {
    if (chunk.last_id < static_cast<int64_t>(rows.front().id) ||
        chunk.first_id > static_cast<int64_t>(rows.back().id)) {
      continue;
    }
    const auto data = data_of(chunk);
    if (!data) return tl::unexpected(data.error());
    frees_.clear();
    if (auto decoded = decode_frees(decoder_, *data, chunk, frees_); !decoded) {
      return tl::unexpected(damaged(path_, decoded.error().message));
    }
    for (const HostFree& free : frees_) {
      if (Allocation* row = find_row(rows, free.id)) {
        row->free_ns = free.revived ? kNever : free.free_ns;
        row->free_stack = free.revived ? StackId{} : free.stack;
      }
    }
  }
  read_data_.reset();
  return {};
}

Result<void> HostScan::next(std::vector<Allocation>& rows) {
  if (!indexed_) {
    if (auto loaded = load_index(); !loaded) return loaded;
  }
  rows.clear();
  while (rows.empty() && next_ < allocations_.size()) {
    window_.clear();
    if (auto read = read_window(rows); !read) return read;
    if (rows.empty()) break;
    if (auto applied = apply(near_, rows); !applied) return applied;
    if (auto applied = apply(far_, rows); !applied) return applied;
    std::erase_if(rows, [this](const Allocation& row) {
      return (filter_.layers & 1U << static_cast<unsigned>(row.layer)) == 0 ||
             static_cast<int64_t>(row.id) < filter_.first_id ||
             static_cast<int64_t>(row.id) > filter_.last_id ||
             row.alloc_ns < filter_.first_alloc_ns || row.alloc_ns > filter_.last_alloc_ns ||
             row.free_ns < filter_.min_free_ns;
    });
  }
  return {};
}

}  // namespace tidemark::trace
