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
//
// A finished trace has no free chunks, and its allocations lie in one sequence of chunks for each
// class of lifetimes, each in order of id:
//
//   class 0   [ 1 2 4 5 7 … ][ … ][ … ]        a moment needs the chunks of this class around it,
//   class 3   [ 3 … 812 … ]   [ … ]            some more of this one,
//   never     [ 6 … 40 … 7001 … ]              and all of these: the long-lived are not among
//                                              millions that were gone long before
//
// The sequences are merged by id. When a writer was killed while it sorted rows into classes, a row
// may be there twice: in its recorded chunk and in its class. It is given once.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "decode_ahead.h"
#include "host_rows.h"
#include "sqlite.h"

namespace tidemark::trace {

// Rows decoded at a time where frees must be applied: bounds memory to about 100 MB.
inline constexpr size_t kWindowRows = 16 * kMaxChunkRows;

// kAhead: on a second thread, where there is enough to read; the first alone uses the file.
// kAlwaysAhead: however little there is.
enum class Decoding : uint8_t { kInTurn, kAhead, kAlwaysAhead };

class HostScan {
 public:
  HostScan(sqlite3* db, std::string path, const HostFilter& filter,
           size_t window_rows = kWindowRows, Decoding decoding = Decoding::kInTurn);

  // Replaces `rows` by the next ones; none left: `rows` is empty.
  Result<void> next(std::vector<Allocation>& rows);
  // The allocation chunks that the last next() decoded.
  const std::vector<ChunkInfo>& window() const { return window_; }
  bool has_frees() const { return !near_.empty() || !far_.empty(); }
  size_t chunks() const;  // of allocations; known after the first next()
  size_t chunks_read() const { return chunks_read_; }

 private:
  // Chunks of one kind, in order of id, and the rows of the one that is being given.
  struct Run {
    std::vector<ChunkInfo> chunks;
    size_t next = 0;
    std::vector<Allocation> rows;
    size_t at = 0;
    bool given() const { return at == rows.size(); }
    int64_t id() const { return static_cast<int64_t>(rows[at].id); }
  };

  Result<void> load_index();
  void sort_in(const ChunkInfo& chunk);
  bool may_match(const ChunkInfo& chunk) const;
  void start_ahead();
  const ChunkInfo* peek(Run& run) const;  // the next that may match; nullptr: none is left
  Run* next_run();                        // that will want one first; nullptr: none
  Result<void> add_ahead(Run& run);
  Result<void> fill_ahead();
  Result<void> refill_ahead(Run& run, std::vector<Allocation>& rows);
  Result<void> refill(Run& run, std::vector<Allocation>& rows);
  Result<void> read_any(std::vector<Allocation>& rows);
  Result<void> read_window(std::vector<Allocation>& rows);
  Result<void> fill_runs();
  bool find_first(Run*& first, int64_t& other_id);  // smallest id, and that of the others
  Run* only_run();                                  // nullptr: more than one, or none
  Result<void> apply(const std::vector<ChunkInfo>& frees, std::vector<Allocation>& rows);
  Result<std::string_view> data_of(const ChunkInfo& chunk);

  sqlite3* db_;
  std::string path_;
  HostFilter filter_;
  size_t window_rows_;
  Decoding decoding_;
  Statement read_data_;
  ChunkDecoder decoder_;
  std::array<Run, 1 + kLifetimeClasses> runs_;  // as recorded, then each class
  HostFilter decode_filter_;                    // what holds before frees are applied
  std::vector<ChunkInfo> near_, far_, window_;
  std::vector<HostFree> frees_;
  size_t chunks_read_ = 0;
  bool indexed_ = false;
  bool any_order_ = false;
  // What is decoded ahead, in the order in which it was begun, and what is free for more.
  std::deque<std::unique_ptr<AheadJob>> jobs_;
  std::vector<std::unique_ptr<AheadJob>> spare_;
  std::optional<DecodeAhead> ahead_;  // last: its worker may still be at one of the jobs
};

}  // namespace tidemark::trace
