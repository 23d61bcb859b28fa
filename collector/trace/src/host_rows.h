// Host allocations and their frees as columns of a chunk. Pure. Used by the writer, the merge at
// the end, and every reader.
#pragma once

#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "chunk.h"
#include "schema.h"
#include "tidemark/trace/types.h"

namespace tidemark::trace {

// A free of an allocation whose chunk had been closed, or (revived) the free taken back.
struct HostFree {
  AllocationId id{};
  bool revived = false;
  int64_t free_ns = kNever;
  StackId stack{};
};

// What stands beside a chunk in its row of host_chunk.
struct ChunkInfo {
  int64_t row_id = 0;
  ChunkKind kind{};
  uint32_t rows = 0;
  int64_t first_id = 0;
  int64_t last_id = 0;
  int64_t begin_ns = 0;  // smallest alloc_ns; of frees, 0
  int64_t last_ns = 0;   // largest alloc_ns
  int64_t end_ns = 0;    // largest free_ns, kNever when one is not freed
  uint8_t layers = 0;    // bit 1 << Layer
};

// Rows outside are left out. The defaults let all pass.
struct HostFilter {
  uint8_t layers = 0xff;  // bit 1 << Layer
  int64_t first_id = 1;
  int64_t last_id = std::numeric_limits<int64_t>::max();
  int64_t first_alloc_ns = std::numeric_limits<int64_t>::min();
  int64_t last_alloc_ns = std::numeric_limits<int64_t>::max();
  int64_t min_free_ns = std::numeric_limits<int64_t>::min();
  std::optional<StackId> alloc_stack;
  // Not about rows: chunk by chunk, whatever the order of ids, which saves bringing chunks
  // together.
  bool any_order = false;
  bool recorded_only = false;       // only chunks of kind kAllocations, …
  std::vector<int64_t> and_chunks;  // … and these of the first class, by row id
};

bool is_host(Layer layer);  // os and heap: stored in columns

// Rows in ascending order of id, at most kMaxChunkRows. `info` gets everything but row_id.
std::string_view encode_allocations(ChunkEncoder& encoder, ChunkKind kind,
                                    std::span<const Allocation> rows, ChunkInfo& info);
// Appends the rows that pass. Ids are ascending and within info's bounds, enumerations valid, or it
// is an error.
Result<void> decode_allocations(ChunkDecoder& decoder, std::string_view bytes,
                                const ChunkInfo& info, const HostFilter& filter,
                                std::vector<Allocation>& rows);

std::string_view encode_frees(ChunkEncoder& encoder, std::span<const HostFree> frees,
                              ChunkInfo& info);
Result<void> decode_frees(ChunkDecoder& decoder, std::string_view bytes, const ChunkInfo& info,
                          std::vector<HostFree>& frees);

// Appends the ids of those that are revivals.
Result<void> decode_revivals(ChunkDecoder& decoder, std::string_view bytes, const ChunkInfo& info,
                             std::vector<AllocationId>& ids);

// The kind of chunk that a row goes to when recording has ended: by its lifetime.
ChunkKind settled_kind(const Allocation& row);

// The row with this id among rows that ascend by id; nullptr when there is none.
Allocation* find_row(std::span<Allocation> rows, AllocationId id);

}  // namespace tidemark::trace
