#include "host_settle.h"

#include <algorithm>
#include <array>
#include <deque>

#include "host_writer.h"
#include "parallel_encoder.h"

namespace tidemark::trace {
namespace {

constexpr int kFinalLevel = 3;
// A class that fills slowly is written after this many windows as it is: until all rows of an old
// chunk are written, the chunk stays.
constexpr size_t kMaxWaitWindows = 8;

class Settler {
 public:
  Settler(sqlite3* db, const std::string& path, size_t window_rows)
      : db_(db),
        path_(path),
        window_rows_(window_rows),
        scan_(db, path, recorded_only(), window_rows),
        insert_(prepare_insert_chunk(db)),
        remove_(db, "DELETE FROM host_chunk WHERE id=?1"),
        encoder_(kFinalLevel) {}

  Result<void> run() {
    std::vector<Allocation> rows;
    for (size_t since_commit = 0;;) {
      if (auto next = scan_.next(rows); !next) return next;
      const bool last = rows.empty();
      for (const ChunkInfo& chunk : scan_.window()) replaced_.push_back(chunk);
      bool ok = begin();
      for (const Allocation& row : rows) ok = add(row) && ok;
      since_commit += rows.size();
      if (!last && ok && since_commit < window_rows_) continue;
      since_commit = 0;
      ok = ok && write_stale(last) && write_encoded(true) && remove_replaced(last) && commit();
      if (!ok) return tl::unexpected(write_error(db_, path_));
      if (last) return {};
    }
  }

 private:
  struct Class {
    std::vector<Allocation> rows;
    size_t windows = 0;  // that its first row has waited
  };

  static HostFilter recorded_only() {
    HostFilter filter;
    filter.recorded_only = true;
    return filter;
  }

  bool begin() {
    if (!in_transaction_) in_transaction_ = execute(db_, "BEGIN") == SQLITE_OK;
    return in_transaction_;
  }
  bool commit() {
    in_transaction_ = false;
    return execute(db_, "COMMIT") == SQLITE_OK;
  }

  bool add(const Allocation& row) {
    const ChunkKind kind = settled_kind(row);
    Class& settled = class_of(kind);
    settled.rows.push_back(row);
    return settled.rows.size() < kMaxChunkRows || write(kind);
  }
  Class& class_of(ChunkKind kind) {
    return classes_[static_cast<size_t>(kind) - static_cast<size_t>(ChunkKind::kSettled)];
  }

  bool write(ChunkKind kind) {
    Class& settled = class_of(kind);
    encoder_.add(kind, std::move(settled.rows));
    settled.rows = encoder_.recycled();
    settled.windows = 0;
    return write_encoded(false);
  }
  bool write_encoded(bool all) {
    EncodedChunk chunk;
    while ((all || encoder_.is_full()) && encoder_.take(chunk)) {
      if (!write_chunk(insert_, chunk.info, chunk.data)) return false;
    }
    return true;
  }
  bool write_stale(bool all) {
    for (size_t i = 0; i < classes_.size(); ++i) {
      Class& settled = classes_[i];
      if (settled.rows.empty() || (!all && ++settled.windows < kMaxWaitWindows)) continue;
      if (!write(static_cast<ChunkKind>(static_cast<size_t>(ChunkKind::kSettled) + i))) {
        return false;
      }
    }
    return true;
  }

  // The chunks whose rows are all in their classes, on disk.
  bool remove_replaced(bool last) {
    int64_t waiting_id = std::numeric_limits<int64_t>::max();
    for (const Class& settled : classes_) {
      if (settled.rows.empty()) continue;
      waiting_id = std::min(waiting_id, static_cast<int64_t>(settled.rows.front().id));
    }
    for (; !replaced_.empty() && replaced_.front().last_id < waiting_id; replaced_.pop_front()) {
      remove_.bind(1, replaced_.front().row_id);
      if (!remove_.run()) return false;
    }
    return !last || execute(db_, "DELETE FROM host_chunk WHERE kind IN (1,2)") == SQLITE_OK;
  }

  sqlite3* db_;
  const std::string& path_;
  size_t window_rows_;
  HostScan scan_;
  Statement insert_, remove_;
  ParallelEncoder encoder_;
  std::array<Class, kLifetimeClasses> classes_;
  std::deque<ChunkInfo> replaced_;
  bool in_transaction_ = false;
};

}  // namespace

Result<void> settle_host_chunks(sqlite3* db, const std::string& path, size_t window_rows) {
  return Settler(db, path, window_rows).run();
}

}  // namespace tidemark::trace
