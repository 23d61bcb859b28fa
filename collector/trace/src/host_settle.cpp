#include "host_settle.h"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>

#include "host_writer.h"
#include "parallel_encoder.h"

namespace tidemark::trace {
namespace {

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
        insert_(prepare_insert_chunk(db)),
        remove_(db, "DELETE FROM host_chunk WHERE id=?1"),
        size_(db, "SELECT length(data) FROM host_chunk WHERE id=?1"),
        encoder_(kFinalLevel) {}

  Result<void> run() {
    if (auto found = find_settled(); !found) return found;
    // A writer that has a limit settles nothing before.
    if (settles_again_ && how_.most_twice) return {};
    std::vector<Allocation> rows;
    for (size_t since_commit = 0;;) {
      if (auto next = scan_->next(rows); !next) return next;
      const bool last = rows.empty();
      const int64_t bytes = bytes_of(scan_->window());
      bool ok = true;
      if (!last && !fits(bytes)) {
        ok = begin() && write_all() && commit();
        if (ok && !fits(bytes)) return {};
      }
      for (const ChunkInfo& chunk : scan_->window()) replaced_.push_back(chunk);
      twice_ += bytes;
      ok = ok && begin();
      for (const Allocation& row : rows) ok = add(row) && ok;
      since_commit += rows.size();
      if (!last && ok && (since_commit < how_.window_rows || settles_again_)) continue;
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

  struct Settled {
    int64_t row_id, first_id, last_id;
  };
  // Finds what was settled before, and which of it must be once more: where a free was taken back.
  // New chunks of its rows are of the class of the old, and chunks of a class may not overlap: so
  // all is one transaction then.
  Result<void> find_settled() {
    Statement select(db_,
                     "SELECT id, first_id, last_id FROM host_chunk WHERE kind=3 ORDER BY first_id");
    while (select.row()) {
      settled_.push_back({select.integer(0), select.integer(1), select.integer(2)});
    }
    if (!select.done()) return tl::unexpected(read_error(db_, path_));
    HostFilter filter;
    filter.recorded_only = true;
    if (!settled_.empty()) {
      std::vector<AllocationId> revived;
      if (auto found = find_revived(revived); !found) return found;
      for (const AllocationId id : revived) {
        const auto chunk = std::find_if(settled_.begin(), settled_.end(), [&](const Settled& s) {
          return s.first_id <= static_cast<int64_t>(id) && static_cast<int64_t>(id) <= s.last_id;
        });
        if (chunk == settled_.end()) continue;
        filter.and_chunks.push_back(chunk->row_id);
        settled_.erase(chunk);
      }
      settles_again_ = !filter.and_chunks.empty();
    }
    scan_.emplace(db_, path_, filter, how_.window_rows);
    return {};
  }
  Result<void> find_revived(std::vector<AllocationId>& revived) {
    ChunkDecoder decoder;
    Statement frees(db_, "SELECT first_id, last_id, data FROM host_chunk WHERE kind IN (1,2)");
    while (frees.row()) {
      ChunkInfo info;
      info.first_id = frees.integer(0);
      info.last_id = frees.integer(1);
      if (auto found = decode_revivals(decoder, frees.blob(2), info, revived); !found) {
        return tl::unexpected(damaged(path_, found.error().message));
      }
    }
    if (!frees.done()) return tl::unexpected(read_error(db_, path_));
    return {};
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
    ChunkKind kind = settled_kind(row);
    if (kind == ChunkKind::kSettled && !settled_.empty()) {
      if (is_within_settled(row)) {
        kind = static_cast<ChunkKind>(static_cast<size_t>(kind) + 1);
      } else if (settled_lies_between() && !write(kind)) {
        return false;
      }
    }
    Class& settled = class_of(kind);
    settled.rows.push_back(row);
    return settled.rows.size() < kMaxChunkRows || write(kind);
  }
  Class& class_of(ChunkKind kind) {
    return classes_[static_cast<size_t>(kind) - static_cast<size_t>(ChunkKind::kSettled)];
  }

  // Chunks of a class do not overlap. A row that belongs where a chunk is already (it was freed
  // later, but not long after it was allocated) goes to the next class, whose blocks may live
  // longer; and before one, those that wait are written.
  bool is_within_settled(const Allocation& row) {
    const auto id = static_cast<int64_t>(row.id);
    while (settled_at_ < settled_.size() && settled_[settled_at_].last_id < id) ++settled_at_;
    return settled_at_ < settled_.size() && settled_[settled_at_].first_id <= id;
  }
  bool settled_lies_between() {  // those that wait and the row
    const std::vector<Allocation>& waiting = class_of(ChunkKind::kSettled).rows;
    return !waiting.empty() && settled_at_ > 0 &&
           settled_[settled_at_ - 1].first_id > static_cast<int64_t>(waiting.back().id);
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
  std::vector<Settled> settled_;  // that stay, in order of id
  size_t settled_at_ = 0;         // the first that does not end before the last row added
  bool settles_again_ = false;
  std::optional<HostScan> scan_;
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
