// Takes the rows of host allocations that are over out of a trace, oldest first, to make room. What
// they came to must stand in host_total and host_curve already. Used by the writer, which owns the
// transactions: after each function the trace is whole and can be committed.
//
//     chunks   [ 1 … 64k ][ … 128k ][ … 192k ][ … 256k ]
//     freed      x x   x    x x x     x   x       x          x: before the boundary
//                begin()  chose these two, so the boundary is the newest allocation in them:
//     after    [ 3 … 98k ]          [ … 192k ][ … 256k ]     from then on, all that lived has a row
//
// What is freed later than the boundary, or not at all, keeps its row. One thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "host_rows.h"
#include "sqlite.h"
#include "tidemark/trace/result.h"

namespace tidemark::trace {

class HostCondenser {
 public:
  HostCondenser(sqlite3* db, const std::string& path);

  // Chooses the oldest chunks behind those chosen before, about `bytes` of them, that hold nothing
  // younger than `settled_ns`. False: there are none.
  bool begin(int64_t bytes, int64_t settled_ns);
  // From here on, once step() has run, rows are missing before that moment.
  int64_t until_ns() const { return until_ns_; }
  // Takes about `bytes` of the chosen chunks; how many allocations went. done(): all are through.
  Result<uint64_t> step(int64_t bytes);
  bool done() const { return at_ == chunks_.size(); }
  // Frees of rows that are gone or have theirs now. Stops after about `bytes`; true: all are.
  Result<bool> drop_frees(int64_t bytes);

 private:
  struct Chunk {
    int64_t first_id;
    int64_t last_id;
    int64_t bytes;
  };
  bool is_over(const Allocation& row) const;
  bool write(std::vector<Allocation>& rows);
  Result<void> keep_younger_frees(const ChunkInfo& info, std::string_view data);
  tl::unexpected<Error> failed() const;

  sqlite3* db_;
  const std::string& path_;
  Statement insert_;
  ChunkEncoder encoder_;
  ChunkDecoder decoder_;
  std::map<ProcessId, int64_t> process_ends_;
  std::vector<Chunk> chunks_;
  size_t at_ = 0;
  int64_t last_id_ = 0;  // of all that were chosen
  int64_t until_ns_ = std::numeric_limits<int64_t>::min();
};

}  // namespace tidemark::trace
