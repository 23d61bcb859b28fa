// What a framework's pool held from the driver at one moment, piece by piece: which of it was in
// blocks and which lay free between them. Values; segments_at reads through a Reader of the calling
// thread and may take long: call it from a worker. Sizes: bytes.
//
//   segment   |#####|....|##|.........|    pieces end to end: blocks, and the holes between them
#pragma once

#include <cstdint>
#include <vector>

#include "tidemark/analyzer/usage.h"

namespace tidemark::viewer {

struct SegmentPiece {
  uint64_t address = 0;
  uint64_t bytes = 0;
  trace::AllocationId block{};  // 0: a hole
  int64_t alloc_ns = 0;         // of the block
  bool is_hole() const { return block == trace::AllocationId{}; }
};

struct PoolSegment {
  trace::ProcessId process{};
  uint64_t address = 0;
  uint64_t bytes = 0;
  int64_t alloc_ns = 0;              // when the driver gave it; of an inferred one its first block
  std::vector<SegmentPiece> pieces;  // ascending in address, from its begin to its end
  uint64_t live_bytes = 0;
  uint64_t largest_hole = 0;
  uint64_t free_bytes() const { return bytes - live_bytes; }
};

struct SegmentMap {
  analyzer::Series series;  // of the pool
  int64_t time_ns = 0;
  std::vector<PoolSegment> segments;  // ascending in address
  uint64_t bytes = 0;                 // of all segments
  uint64_t live_bytes = 0;            // in blocks
  uint64_t live_count = 0;
  uint64_t holes = 0;
  uint64_t largest_hole = 0;
  // The driver gave pages (expandable segments), of which a trace does not say where they were
  // mapped: segments are then the ranges that blocks have reached so far, in whole pages.
  bool inferred = false;
  uint64_t free_bytes() const { return bytes - live_bytes; }
  // 0: all that is free lies in one piece; towards 1: in ever more pieces.
  double fragmentation() const;
};

// Of the pool on `device`. Errors: what the Reader says; no pool was recorded there.
[[nodiscard]] Result<SegmentMap> segments_at(const trace::Reader& reader, int16_t device,
                                             int64_t time_ns);

// The order of a list of them.
enum class SegmentOrder : uint8_t { kAddress, kSize, kFree };
std::vector<size_t> sorted_segments(const SegmentMap& map, SegmentOrder order);

}  // namespace tidemark::viewer
