// Gathers host allocations into chunks of host_chunk. Keeps only the open chunks: an allocation
// that is freed while its chunk is open is completed there; later frees go to chunks of frees (see
// host_scan.h). Functions return false when SQLite failed.
#pragma once

#include <vector>

#include "host_rows.h"
#include "sqlite.h"

namespace tidemark::trace {

class HostWriter {
 public:
  explicit HostWriter(sqlite3* db);

  bool add(const Allocation& row);
  // `newest` is the last id given to any allocation; an id never comes closer to it again.
  bool end(AllocationId id, AllocationId newest, int64_t free_ns, StackId stack);
  bool revive(AllocationId id, AllocationId newest);
  bool flush();  // writes what is open, as partial chunks

 private:
  bool add_free(const HostFree& free, AllocationId newest);
  bool write_allocations();
  bool write_frees(std::vector<HostFree>& frees, ChunkKind kind);

  Statement insert_;
  ChunkEncoder encoder_;
  std::vector<Allocation> open_;
  std::vector<HostFree> near_, far_;
};

// Rewrites all chunks into full ones with their frees, so that the finished trace has allocation
// chunks only. One transaction a window: a kill in between leaves a valid trace, because applying
// the frees again to a merged chunk changes nothing.
Result<void> merge_host_chunks(sqlite3* db, const std::string& path);

}  // namespace tidemark::trace
