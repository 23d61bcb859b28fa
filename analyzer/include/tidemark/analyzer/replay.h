// Replays requests through an allocator model: any sequence, or the one that a trace has recorded
// of a framework's pool, compared with what the trace says the pool really did. Pure; the Reader's
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tidemark/analyzer/allocator_model.h"
#include "tidemark/trace/reader.h"

namespace tidemark::analyzer {

// Lifetimes are numbered from 0 in any order; each is allocated once and freed at most once, later.
struct AllocatorEvent {
  enum class Kind : uint8_t { kAllocate, kFree, kEmptyCache };
  uint64_t bytes = 0;     // kAllocate
  uint32_t lifetime = 0;  // kAllocate, kFree
  uint32_t stream = 0;    // kAllocate
  Kind kind{};
};

// The state after an event that changed what was reserved.
struct ReplayPoint {
  uint32_t event = 0;  // its place in the sequence
  uint64_t allocated_bytes = 0;
  uint64_t reserved_bytes = 0;
};

struct ReplayOptions {
  bool curve = false;      // fill Replay::reserved
  bool addresses = false;  // fill Replay::addresses
  // Of lifetimes, one more than the largest in the events.
  uint32_t lifetimes = 0;
};

struct Replay {
  uint64_t peak_allocated_bytes = 0;
  uint64_t peak_reserved_bytes = 0;
  // The first event that ran out of memory: the replay ended there, and the peaks are those before.
  std::optional<uint32_t> out_of_memory_at;
  uint32_t peak_allocated_at = 0;  // the first event after which it was reached
  uint32_t peak_reserved_at = 0;
  std::vector<ReplayPoint> reserved;
  std::vector<uint64_t> addresses;  // of each lifetime
};

Replay replay(std::span<const AllocatorEvent> events, AllocatorModel& model,
              const ReplayOptions& options);

struct RecordedSegment {
  uint64_t address = 0;
  uint64_t bytes = 0;
  int64_t alloc_ns = 0;
  int64_t free_ns = trace::kNever;
  bool operator==(const RecordedSegment&) const = default;
};

// What a trace has of one framework's pool on one device of one process.
struct RecordedPool {
  trace::ProcessId process{};
  int16_t device = 0;
  std::vector<AllocatorEvent> events;
  std::vector<int64_t> event_ns;              // of each event
  std::vector<trace::AllocationId> lifetime;  // the recorded allocation of each lifetime
  std::vector<uint64_t> addresses;            // of each lifetime
  uint64_t peak_allocated_bytes = 0;
  uint64_t peak_reserved_bytes = 0;
  std::vector<trace::PoolReserved> reserved;
  // Pieces taken from the driver, in order of time: whole segments, or pages of expandable ones,
  // whose `address` is not known.
  std::vector<RecordedSegment> segments;
  bool expandable = false;
};

// All pools of the trace, in order of process and device; none when no framework's pool was
// recorded. Times at which the pool gave memory back become kEmptyCache events.
[[nodiscard]] Result<std::vector<RecordedPool>> recorded_pools(const trace::Reader& reader);

// Gives each new segment the address of the first recorded one of its size that none has yet, and
// the others addresses away from all recorded ones. With it the untouched sequence replays exactly,
// and a changed one has the driver's address space as far as it can be known.
std::unique_ptr<SegmentPlacer> recorded_placer(const RecordedPool& pool);

// How a replay differs from what was recorded. All zero and equal: the model did what the allocator
// did, block by block.
struct ReplayCheck {
  Replay replay;
  int64_t allocated_error_bytes = 0;  // replayed minus recorded
  int64_t reserved_error_bytes = 0;
  // Changes of the reserved bytes that do not agree in value and in the allocation that made them.
  uint32_t reserved_points_off = 0;
  // Blocks that came to lie elsewhere than recorded (in expandable segments: at another distance
  // from the first block), and the first such event.
  uint32_t blocks_elsewhere = 0;
  std::optional<uint32_t> first_elsewhere;
  // What is held from the driver at the end, segments or pages: how many, and whether their sizes
  // are the same, one by one.
  uint32_t segments = 0;
  uint32_t recorded_segments = 0;
  bool same_segment_sizes = false;

  bool exact() const {
    return allocated_error_bytes == 0 && reserved_error_bytes == 0 && reserved_points_off == 0 &&
           blocks_elsewhere == 0 && same_segment_sizes;
  }
};

// The pool's own sequence through `model`, which must be new and is left at the end of it. New
// segments get the recorded addresses.
ReplayCheck check_replay(const RecordedPool& pool, AllocatorModel& model);

}  // namespace tidemark::analyzer
