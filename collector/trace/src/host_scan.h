// Walks the host allocations of a trace in order of id, frees applied. Used by the reader, the
// virtual table, and the merge when recording ends.
//
// A free that came after its allocation's chunk was closed lies in a chunk of frees:
//
//   ids          1 ─────────── 64k ─────────── 128k ─────────── 192k
//   allocations  [ chunk A     ][ chunk B      ][ chunk C       ]
//   near frees             [  of A, B  ][  of B, C   ]             young when freed
//   far frees    [            of A, B, C                        ]  old when freed
//
// A window of whole allocation chunks is decoded, then every free chunk whose ids overlap it is
// applied: near ones in order of row id, then far ones. For one id that is the order in which they
// happened, because an allocation only grows older: its near frees all come before its far ones.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "host_rows.h"
#include "sqlite.h"

namespace tidemark::trace {

// Rows outside are left out. The defaults let all pass.
struct HostFilter {
  uint8_t layers = 0xff;  // bit 1 << Layer
  int64_t first_id = 1;
  int64_t last_id = std::numeric_limits<int64_t>::max();
  int64_t first_alloc_ns = std::numeric_limits<int64_t>::min();
  int64_t last_alloc_ns = std::numeric_limits<int64_t>::max();
  int64_t min_free_ns = std::numeric_limits<int64_t>::min();
};

class HostScan {
 public:
  HostScan(sqlite3* db, std::string path, const HostFilter& filter);

  // Replaces `rows` by the next ones; none left: `rows` is empty.
  Result<void> next(std::vector<Allocation>& rows);
  // The allocation chunks that the last next() read.
  const std::vector<ChunkInfo>& window() const { return window_; }
  bool has_frees() const { return !near_.empty() || !far_.empty(); }
  size_t chunks() const { return allocations_.size(); }

 private:
  Result<void> load_index();
  bool may_match(const ChunkInfo& chunk) const;
  Result<void> read_window(std::vector<Allocation>& rows);
  Result<void> apply(const std::vector<ChunkInfo>& frees, std::vector<Allocation>& rows);
  Result<std::string_view> data_of(const ChunkInfo& chunk);

  sqlite3* db_;
  std::string path_;
  HostFilter filter_;
  Statement read_data_;
  ChunkDecoder decoder_;
  std::vector<ChunkInfo> allocations_, near_, far_, window_;
  std::vector<HostFree> frees_;
  size_t next_ = 0;
  bool indexed_ = false;
};

}  // namespace tidemark::trace
