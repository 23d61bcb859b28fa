#include "access_scan.h"

namespace tidemark::trace {

bool has_access_chunks(sqlite3* db) {
  Statement found(db, "SELECT 1 FROM main.sqlite_master WHERE name='access_chunk'");
  return found.row();
}

AccessScan::AccessScan(sqlite3* db, std::string path, const AccessFilter& filter)
    : db_(db), path_(std::move(path)), filter_(filter), over_(!has_access_chunks(db)) {
  if (over_) return;
  read_ =
      Statement(db_,
                "SELECT id, rows, data FROM main.access_chunk WHERE id>?1 AND last_kernel>=?2 "
                "AND first_kernel<=?3 AND last_allocation>=?4 AND first_allocation<=?5 ORDER BY "
                "id LIMIT 1");
}

Result<void> AccessScan::next(std::vector<Access>& rows) {
  rows.clear();
  while (!over_ && rows.empty()) {
    read_.reset();
    read_.bind(1, chunk_);
    read_.bind(2, filter_.first_kernel);
    read_.bind(3, filter_.last_kernel);
    read_.bind(4, static_cast<int64_t>(filter_.first_allocation));
    read_.bind(5, static_cast<int64_t>(filter_.last_allocation));
    if (!read_.row()) {
      over_ = true;
      return read_.done() ? Result<void>() : tl::unexpected(read_error(db_, path_));
    }
    if (read_.integer(0) <= chunk_) return tl::unexpected(damaged(path_, "rows out of order"));
    chunk_ = read_.integer(0);
    if (auto decoded = decode(read_.integer(1), read_.blob(2), rows); !decoded) return decoded;
  }
  read_.reset();  // a writer may go on
  return {};
}

Result<void> AccessScan::decode(int64_t rows_said, std::string_view data,
                                std::vector<Access>& rows) {
  const auto decoded = decoder_.decode(data, kAccessColumns);
  if (!decoded) return tl::unexpected(damaged(path_, decoded.error().message));
  if (static_cast<int64_t>(decoded->rows) != rows_said) {
    return tl::unexpected(damaged(path_, "accesses: another number of rows than a chunk says"));
  }
  const auto at = [&](AccessColumn column, size_t row) {
    const Column values = decoded->columns[column];
    return values.size() == 1 ? values[0] : values[row];
  };
  references_.clear();
  for (size_t i = 0; i < decoded->rows; ++i) {
    const auto kernel = static_cast<int64_t>(at(kAccessKernel, i));
    const AllocationId allocation{references_.next(at(kAccessReference, i))};
    if (kernel < 1 || kernel < kernel_ || allocation < AllocationId{1}) {
      return tl::unexpected(damaged(path_, "accesses: an impossible value"));
    }
    kernel_ = kernel;
    if (kernel < filter_.first_kernel || kernel > filter_.last_kernel ||
        allocation < filter_.first_allocation || allocation > filter_.last_allocation) {
      continue;
    }
    rows.push_back({kernel, allocation});
  }
  return {};
}

}  // namespace tidemark::trace
