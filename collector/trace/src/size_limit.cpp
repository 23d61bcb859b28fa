#include "size_limit.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

namespace tidemark::trace {
namespace {

constexpr int64_t kLeastJournalBytes = 2 << 20;
// Half of it fits into the page cache, so that a transaction is not written out before its end.
constexpr int64_t kMostJournalBytes = 64 << 20;
// FILE-shm for a journal of that size.
constexpr int64_t kIndexBytes = 64 << 10;

}  // namespace

SizeLimit::SizeLimit(sqlite3* db, const std::string& path, int64_t bytes)
    : db_(db),
      path_(path),
      bytes_(bytes),
      journal_bytes_(std::clamp(bytes / 8, kLeastJournalBytes, kMostJournalBytes)),
      used_(db,
            "SELECT (page_count-freelist_count)*page_size FROM pragma_page_count, "
            "pragma_freelist_count, pragma_page_size",
            SQLITE_PREPARE_PERSISTENT) {
  execute(db_,
          fmt::format("PRAGMA wal_autocheckpoint=1; PRAGMA journal_size_limit={}", journal_bytes_)
              .c_str());
}

int64_t SizeLimit::used_bytes(int64_t buffered) {
  const int64_t used = used_.row() ? used_.integer(0) : 0;
  used_.reset();
  return used + buffered;
}

int64_t SizeLimit::size_of(const char* suffix) const {
  struct stat info {};
  return stat((path_ + suffix).c_str(), &info) == 0 ? info.st_size : 0;
}

int64_t SizeLimit::most_bytes() const {
  return bytes_ - std::max(journal_bytes_, size_of("-wal")) - kIndexBytes;
}

// Clean pages are counted too, so it is an upper bound: what was read since the last commit.
bool SizeLimit::must_commit() const {
  int bytes = 0;
  int highest = 0;
  sqlite3_db_status(db_, SQLITE_DBSTATUS_CACHE_USED, &bytes, &highest, 0);
  return bytes > journal_bytes_ / 2;
}

void SizeLimit::committed() { sqlite3_db_release_memory(db_); }

bool SizeLimit::holds_twice() {
  return size_of("") + used_bytes() + used_bytes() / 64 + kIndexBytes <= bytes_;
}

bool SizeLimit::exceeded() const {
  return size_of("") + size_of("-wal") + size_of("-shm") > bytes_;
}

}  // namespace tidemark::trace
