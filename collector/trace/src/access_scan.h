// Reads access_chunk, chunk by chunk, in order of kernel id; of chunks that cannot have what a
// filter asks for, only the bounds are read. Nothing in the file is trusted.
#pragma once

#include <string>
#include <vector>

#include "access_columns.h"
#include "sqlite.h"
#include "tidemark/trace/reader.h"

namespace tidemark::trace {

// Whether this trace has accesses in chunks (since format 5). Before, nobody wrote any.
bool has_access_chunks(sqlite3* db);

class AccessScan {
 public:
  AccessScan(sqlite3* db, std::string path, const AccessFilter& filter);

  // The next rows; none: that was all.
  [[nodiscard]] Result<void> next(std::vector<Access>& rows);

 private:
  Result<void> decode(int64_t rows_said, std::string_view data, std::vector<Access>& rows);

  sqlite3* db_;
  std::string path_;
  AccessFilter filter_;
  bool over_;
  int64_t chunk_ = 0;  // the last one read
  int64_t kernel_ = 0;
  Statement read_;
  ChunkDecoder decoder_;
  ReferenceDecoder references_;
};

}  // namespace tidemark::trace
