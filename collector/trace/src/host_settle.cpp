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

// A chunk that is written before it is full takes more than its share of a full one.
int64_t with_margin(int64_t bytes) { return bytes + bytes / 4; }

class Settler {
 public:
  Settler(sqlite3* db, const std::string& path, const Settling& how)
      : db_(db),
        path_(path),
        how_(how),
        scan_(db, path, recorded_only(), how.window_rows),
        insert_(prepare_insert_chunk(db)),
        remove_(db, "DELETE FROM host_chunk WHERE id=?1"),
        size_(db, "SELECT length(data) FROM host_chunk WHERE id=?1"),
        encoder_(kFinalLevel) {}

  Result<void> run() {
    std::vector<Allocation> rows;
    for (size_t since_commit = 0;;) {
      if (auto next = scan_.next(rows); !next) return next;
      const bool last = rows.empty();
      const int64_t bytes = bytes_of(scan_.window());
      bool ok = true;
      if (!last && !fits(bytes)) {
        ok = begin() && write_all() && commit();
        if (ok && !fits(bytes)) return {};
      }
      for (const ChunkInfo& chunk : scan_.window()) replaced_.push_back(chunk);
      twice_ += bytes;
      ok = ok && begin();
      for (const Allocation& row : rows) ok = add(row) && ok;
      since_commit += rows.size();
      if (!last && ok && since_commit < how_.window_rows) continue;
      since_commit = 0;
      ok = ok && (last ? write_all() && remove_frees() : write_aged()) && commit();
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

  int64_t bytes_of(const std::vector<ChunkInfo>& chunks) {
    int64_t bytes = 0;
    if (!how_.most_twice) return bytes;
    for (const ChunkInfo& chunk : chunks) {
      size_.bind(1, chunk.row_id);
      if (size_.row()) bytes += size_.integer(0);
      size_.reset();
    }
    return bytes;
  }
  bool fits(int64_t bytes) {
    return !how_.most_twice || with_margin(twice_ + bytes) <= how_.most_twice();
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
  bool write_class(size_t i) {
    return classes_[i].rows.empty() ||
           write(static_cast<ChunkKind>(static_cast<size_t>(ChunkKind::kSettled) + i));
  }
  bool write_all() {
    for (size_t i = 0; i < classes_.size(); ++i) {
      if (!write_class(i)) return false;
    }
    return write_encoded(true) && remove_replaced();
  }
  bool write_aged() {
    for (size_t i = 0; i < classes_.size(); ++i) {
      if (classes_[i].rows.empty() || ++classes_[i].windows < kMaxWaitWindows) continue;
      if (!write_class(i)) return false;
    }
    return write_encoded(true) && remove_replaced();
  }

  // The chunks whose rows are all in their classes, on disk.
  bool remove_replaced() {
    int64_t waiting_id = std::numeric_limits<int64_t>::max();
    for (const Class& settled : classes_) {
      if (settled.rows.empty()) continue;
      waiting_id = std::min(waiting_id, static_cast<int64_t>(settled.rows.front().id));
    }
    for (; !replaced_.empty() && replaced_.front().last_id < waiting_id; replaced_.pop_front()) {
      twice_ -= bytes_of({replaced_.front()});
      remove_.bind(1, replaced_.front().row_id);
      if (!remove_.run()) return false;
    }
    return true;
  }
  bool remove_frees() {
    return execute(db_, "DELETE FROM host_chunk WHERE kind IN (1,2)") == SQLITE_OK;
  }

  sqlite3* db_;
  const std::string& path_;
  const Settling& how_;
  HostScan scan_;
  Statement insert_, remove_, size_;
  ParallelEncoder encoder_;
  std::array<Class, kLifetimeClasses> classes_;
  std::deque<ChunkInfo> replaced_;
  int64_t twice_ = 0;  // bytes of replaced_, whose rows are in their classes or on the way there
  bool in_transaction_ = false;
};

}  // namespace

Result<void> settle_host_chunks(sqlite3* db, const std::string& path, const Settling& how) {
  return Settler(db, path, how).run();
}

}  // namespace tidemark::trace
