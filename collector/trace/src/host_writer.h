// Gathers host allocations into chunks of host_chunk. Keeps only the open chunks, a few of them: an
// allocation that is freed while its chunk is open is completed there; later frees go to chunks of
// frees (see host_scan.h). Functions return false when SQLite failed.
//
// Most blocks live briefly. Of a chunk of which at least a half is over, and was so soon, these
// rows are written as they will stay, to a chunk of the class of the shortest lifetimes: nothing is
// left to do with them when recording ends.
#pragma once

#include <array>
#include <vector>

#include "host_rows.h"
#include "sqlite.h"

namespace tidemark::trace {

class HostWriter {
 public:
  explicit HostWriter(sqlite3* db);
  // From now on all is written as it was recorded, which can be condensed (host_condense.h).
  void keep_as_recorded() { settles_ = false; }

  // `row` but for its id and its free.
  bool add(AllocationId id, const Allocation& row);
  // `newest` is the last id given to any allocation; an id never comes closer to it again.
  bool end(AllocationId id, AllocationId newest, int64_t free_ns, StackId stack);
  bool revive(AllocationId id, AllocationId newest);
  bool flush();                // writes what is open, as partial chunks
  int64_t open_bytes() const;  // about as many it will write

 private:
  // What is freed while this many younger ones came needs no row of its own. More of them would
  // not fit into the last cache.
  static constexpr size_t kOpenChunks = 4;
  using OpenChunk = std::vector<Allocation>;

  Allocation* find_open(AllocationId id);
  bool add_free(const HostFree& free, AllocationId newest);
  bool open_next();
  bool write_allocations(OpenChunk& chunk);
  bool write_rows(ChunkKind kind, std::span<const Allocation> rows);
  bool write_frees(std::vector<HostFree>& frees, ChunkKind kind);

  Statement insert_;
  ChunkEncoder encoder_;
  std::array<OpenChunk, kOpenChunks> open_;
  size_t newest_ = 0;  // where rows are added; the one behind it, round the ring, is the oldest
  std::vector<HostFree> near_, far_;
  bool settles_ = true;
  std::vector<Allocation> brief_;  // of the chunk that is being written
};

// zstd's, of what is kept for good.
inline constexpr int kFinalLevel = 3;

// Runs a statement whose parameters 1 to 9 are a chunk's columns, from kind to data.
bool write_chunk(Statement& statement, const ChunkInfo& info, std::string_view data);
Statement prepare_insert_chunk(sqlite3* db);

}  // namespace tidemark::trace
