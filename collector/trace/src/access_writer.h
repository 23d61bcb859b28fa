// Writes access_chunk. Keeps the open chunk, which is written anew at each flush that finds more
// rows for it. Functions return false when SQLite failed.
#pragma once

#include <span>
#include <vector>

#include "access_columns.h"
#include "sqlite.h"

namespace tidemark::trace {

class AccessWriter {
 public:
  explicit AccessWriter(sqlite3* db);

  // Kernels in ascending order of id.
  bool add(int64_t kernel, std::span<const AllocationId> allocations);
  bool flush(bool for_good);
  // Roughly, of what the next flush adds.
  [[nodiscard]] int64_t open_bytes() const { return static_cast<int64_t>(kernels_.size()) * 4; }

 private:
  bool write(ChunkEncoder& encoder);

  Statement insert_;
  ChunkEncoder good_, quick_;
  std::vector<uint64_t> kernels_;
  std::vector<uint64_t> references_;
  ReferenceEncoder encoder_;
  int64_t number_ = 1;
  int64_t first_allocation_ = 0, last_allocation_ = 0;
  bool dirty_ = false;
  bool quickly_ = false;  // the open chunk is written, but larger than need be
};

}  // namespace tidemark::trace
