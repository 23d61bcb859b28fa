// What /proc tells of the memory of a process. Pure: text in, values out, any thread. Reading the
// files is collector/memory_sampler.h. Sizes: bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/trace/types.h"

namespace tidemark::collector {

// Of /proc/<pid>/stat: cheap, asked for each time.
struct ProcUsage {
  char state = '?';
  uint64_t start_time = 0;  // ticks since boot: tells a recycled pid
  int64_t rss_pages = 0;
  int64_t minor_faults = 0;
  int64_t major_faults = 0;
};
std::optional<ProcUsage> parse_proc_usage(std::string_view stat);

// Of /proc/<pid>/status. Absent ones (a kernel of old, a zombie): trace::kNotMeasured.
struct ProcStatus {
  int64_t peak_rss_bytes = trace::kNotMeasured;
  int64_t anonymous_bytes = trace::kNotMeasured;
  int64_t file_bytes = trace::kNotMeasured;
  int64_t shared_bytes = trace::kNotMeasured;
  int64_t swap_bytes = trace::kNotMeasured;
  int64_t huge_page_bytes = trace::kNotMeasured;
};
ProcStatus parse_proc_status(std::string_view status);

// The text of /proc/<pid>/smaps, ascending by address.
struct SmapsEntry {
  uint64_t start = 0;
  uint64_t end = 0;
  char permissions[4] = {'-', '-', '-', 'p'};
  uint64_t offset = 0;
  std::string path;  // or a name in brackets; "" none
  uint64_t rss_bytes = 0;
  uint64_t pss_bytes = 0;
  uint64_t swap_bytes = 0;
  uint64_t anonymous_huge_bytes = 0;  // transparent huge pages
  bool no_reserve = false;            // the flag "nr"
};
std::vector<SmapsEntry> parse_smaps(std::string_view smaps);

// One piece of address space as the trace keeps it, but for the process and the time.
struct MappedPiece {
  uint64_t start = 0;
  uint64_t end = 0;
  trace::MappingKind kind{};
  std::string path;
  uint64_t rss_bytes = 0;
  uint64_t pss_bytes = 0;
  uint64_t swap_bytes = 0;
  uint64_t huge_bytes = 0;
};
// Says of each entry what it is, joins adjacent entries of one file, leaves out reservations
// without a page. The resident bytes of all pieces add up to those of all entries.
//
// What has no name is told by its shape. glibc maps an arena at a multiple of 64 MiB and opens it
// from below, the rest of the 64 MiB stays closed behind it; it maps a thread's stack with a closed
// guard below. A program's zeroed data follow its last writable piece. Our tables are mapped
// without reservation, by a call that nobody sees.
std::vector<MappedPiece> pieces_of(const std::vector<SmapsEntry>& entries);

// Whether /proc/<pid>/maps shows the rings of a recording: a pid that a target told may be one of
// another namespace, and here another program's.
bool maps_our_rings(std::string_view maps);

}  // namespace tidemark::collector
