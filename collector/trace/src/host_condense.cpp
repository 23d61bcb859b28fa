#include "host_condense.h"

#include <algorithm>

#include "host_scan.h"
#include "host_writer.h"

namespace tidemark::trace {
namespace {

// The program may be waiting for the collector, and the rows may go in the next round.
constexpr int kCondenseLevel = 1;

}  // namespace

HostCondenser::HostCondenser(sqlite3* db, const std::string& path)
    : db_(db), path_(path), insert_(prepare_insert_chunk(db)), encoder_(kCondenseLevel) {
  Statement ends(db, "SELECT id, end_ns FROM main.process WHERE end_ns IS NOT NULL");
  while (ends.row()) process_ends_[static_cast<ProcessId>(ends.integer(0))] = ends.integer(1);
}

tl::unexpected<Error> HostCondenser::failed() const {
  return tl::unexpected(write_error(db_, path_));
}

bool HostCondenser::begin(int64_t bytes, int64_t settled_ns) {
  chunks_.clear();
  at_ = 0;
  Statement oldest(db_,
                   "SELECT first_id, last_id, last_ns, length(data) FROM main.host_chunk WHERE "
                   "kind=0 AND first_id>?1 ORDER BY first_id");
  oldest.bind(1, last_id_);
  while (bytes > 0 && oldest.row() && oldest.integer(2) <= settled_ns) {
    chunks_.push_back({oldest.integer(0), oldest.integer(1), oldest.integer(3)});
    until_ns_ = std::max(until_ns_, oldest.integer(2));
    bytes -= oldest.integer(3);
  }
  if (!chunks_.empty()) last_id_ = chunks_.back().last_id;
  return !chunks_.empty();
}

// A process that ended takes what it held with it; that it was not freed is in the totals.
bool HostCondenser::is_over(const Allocation& row) const {
  if (row.free_ns <= until_ns_) return true;
  const auto end = process_ends_.find(row.process);
  return end != process_ends_.end() && end->second <= until_ns_;
}

bool HostCondenser::write(std::vector<Allocation>& rows) {
  ChunkInfo info;
  const std::string_view data = encode_allocations(encoder_, ChunkKind::kAllocations, rows, info);
  const bool ok = write_chunk(insert_, info, data);
  rows.clear();
  return ok;
}

Result<uint64_t> HostCondenser::step(int64_t bytes) {
  HostFilter filter;
  filter.recorded_only = true;
  filter.first_id = chunks_[at_].first_id;
  while (at_ < chunks_.size() && bytes > 0) {
    filter.last_id = chunks_[at_].last_id;
    bytes -= chunks_[at_++].bytes;
  }
  HostScan scan(db_, path_, filter);
  Statement remove(db_, "DELETE FROM main.host_chunk WHERE id=?1");
  std::vector<Allocation> rows;
  std::vector<Allocation> kept;
  std::vector<int64_t> replaced;
  uint64_t condensed = 0;
  for (;;) {
    if (auto next = scan.next(rows); !next) return tl::unexpected(next.error());
    for (const ChunkInfo& chunk : scan.window()) replaced.push_back(chunk.row_id);
    if (rows.empty()) break;
    for (const Allocation& row : rows) {
      if (is_over(row)) {
        ++condensed;
        continue;
      }
      kept.push_back(row);
      if (kept.size() == kMaxChunkRows && !write(kept)) return failed();
    }
  }
  if (!kept.empty() && !write(kept)) return failed();
  for (const int64_t id : replaced) {
    remove.bind(1, id);
    if (!remove.run()) return failed();
  }
  return condensed;
}

Result<bool> HostCondenser::drop_frees(int64_t bytes) {
  Statement remove(db_, "DELETE FROM main.host_chunk WHERE kind IN (1,2) AND last_id<=?1");
  remove.bind(1, last_id_);
  if (!remove.run()) return failed();
  struct Mixed {
    ChunkInfo info;
    std::string data;
  };
  std::vector<Mixed> all;
  Statement chunks(db_,
                   "SELECT id, kind, rows, first_id, last_id, data FROM main.host_chunk WHERE kind "
                   "IN (1,2) AND first_id<=?1");
  chunks.bind(1, last_id_);
  while (bytes > 0 && chunks.row()) {
    Mixed mixed;
    mixed.info.row_id = chunks.integer(0);
    mixed.info.kind = static_cast<ChunkKind>(chunks.integer(1));
    mixed.info.rows = static_cast<uint32_t>(chunks.integer(2));
    mixed.info.first_id = chunks.integer(3);
    mixed.info.last_id = chunks.integer(4);
    mixed.data = chunks.blob(5);
    bytes -= static_cast<int64_t>(mixed.data.size());
    all.push_back(std::move(mixed));
  }
  if (bytes > 0 && !chunks.done()) return tl::unexpected(read_error(db_, path_));
  for (const Mixed& mixed : all) {
    if (auto kept = keep_younger_frees(mixed.info, mixed.data); !kept) {
      return tl::unexpected(kept.error());
    }
  }
  return bytes > 0;
}

// In its place: for one id the order of chunks tells which free is the last.
Result<void> HostCondenser::keep_younger_frees(const ChunkInfo& info, std::string_view data) {
  std::vector<HostFree> frees;
  if (auto decoded = decode_frees(decoder_, data, info, frees); !decoded) {
    return tl::unexpected(damaged(path_, decoded.error().message));
  }
  std::erase_if(frees,
                [this](const HostFree& free) { return static_cast<int64_t>(free.id) <= last_id_; });
  ChunkInfo left;
  left.kind = info.kind;
  // Its last id is younger, or it would have gone: it is never empty.
  const std::string_view bytes = encode_frees(encoder_, frees, left);
  Statement update(db_,
                   "UPDATE main.host_chunk SET kind=?1, rows=?2, first_id=?3, last_id=?4, "
                   "begin_ns=?5, last_ns=?6, end_ns=?7, layers=?8, data=?9 WHERE id=?10");
  update.bind(10, info.row_id);
  return write_chunk(update, left, bytes) ? Result<void>() : failed();
}

}  // namespace tidemark::trace
