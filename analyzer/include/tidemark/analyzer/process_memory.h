// Why the system says more than the heap: what the resident memory of each process consisted of
// where it was largest, and what that process alone held of the heap at its own peak. Pure: reads
// through trace::Reader; any thread that owns the Reader.
//
// Times: ns since the recording began. Sizes: bytes.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/live.h"

namespace tidemark::analyzer {

// In the order in which a report shows them.
enum class MemoryPart : uint8_t {
  kHeapLive,       // blocks that the program holds, as far as their pages were touched
  kHeapInherited,  // blocks of the process that this one was forked from
  kHeapSpare,      // the allocator's: freed, or not handed out yet, and kept from the system
  kProgram,        // mapped by the program's own calls (mmap), allocators of its own included
  kFiles,
  kShared,
  kStacks,
  kStatic,
  kDevice,
  kKernel,
  kTidemark,     // what being recorded costs it
  kUnexplained,  // anonymous, and no recorded call asked for it
};
inline constexpr size_t kMemoryParts = static_cast<size_t>(MemoryPart::kUnexplained) + 1;
const char* to_string(MemoryPart part);  // "heap_live" …: the names in JSON

struct FileMemory {
  std::string path;
  uint64_t mapped_bytes = 0;
  uint64_t resident_bytes = 0;
};

// One snapshot of the mappings of a process. Pages are counted, so a block that was never written
// to is no part of it. Where a mapping holds several things and not all of its pages are resident,
// live blocks are taken to be touched first.
struct MemoryBreakdown {
  int64_t time_ns = 0;
  uint64_t rss_bytes = 0;
  uint64_t pss_bytes = 0;
  uint64_t swap_bytes = 0;
  std::array<uint64_t, kMemoryParts> parts{};  // they add up to rss_bytes
  uint64_t heap_live_bytes = 0;                // by their sizes, touched or not
  uint64_t heap_live_count = 0;
  std::vector<FileMemory> files;  // most resident first
};

struct ProcessMemoryUse {
  trace::ProcessId process{};
  // Of the samples; absent: none was taken (a process of milliseconds, an old trace).
  struct System {
    int64_t peak_rss_bytes = 0;
    int64_t peak_rss_ns = 0;
    int64_t kernel_peak_bytes = trace::kNotMeasured;  // its high-water mark: no spike is missed
    int64_t peak_swap_bytes = trace::kNotMeasured;
    int64_t minor_faults = 0;  // when last looked at
    int64_t major_faults = 0;
  };
  std::optional<System> system;
  std::optional<MemoryBreakdown> breakdown;  // of the snapshot with the most resident bytes
  std::optional<LiveSet> heap_peak;          // layer heap, of this process alone; absent: no heap
};

// kSystemOnly reads no allocations: there are no breakdowns and no peaks of the heap.
enum class MemoryDepth : uint8_t { kSystemOnly, kWithBlocks };

// In the order of Reader::processes().
[[nodiscard]] Result<std::vector<ProcessMemoryUse>> process_memory(const trace::Reader& reader,
                                                                   MemoryDepth depth);

}  // namespace tidemark::analyzer
