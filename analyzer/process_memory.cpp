#include "tidemark/analyzer/process_memory.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

#include "host_sums.h"
#include "lifetimes.h"
#include "live_groups.h"
#include "process_peaks.h"

namespace tidemark::analyzer {
namespace {

using trace::MappingKind;

// How far back the blocks are looked for that a child was born with. A trace is untrusted: its
// parents may form a circle.
constexpr int kMaxGenerations = 16;
constexpr int64_t kNowhere = std::numeric_limits<int64_t>::min();

// A piece of an address space, and what the recorded calls say lies in it.
struct Piece {
  trace::Mapping mapping;
  uint64_t heap_bytes = 0;
  uint64_t inherited_bytes = 0;
  uint64_t program_bytes = 0;
  // Of blocks that malloc mapped one by one: what it mapped beside what was asked for.
  uint64_t around_blocks_bytes = 0;
  bool pooled = false;  // holds other blocks too: what is free between them is the allocator's
};

// What is looked for among all rows, for one process.
struct Search {
  std::vector<Piece> pieces;  // ascending, apart
  int64_t snapshot_ns = kNowhere;
  int64_t heap_peak_ns = kNowhere;
  uint64_t live_bytes = 0;
  uint64_t live_count = 0;
  LiveGroups heap_peak;
};

// The rows of a process say something of its own snapshot and of those of its children.
struct Interest {
  Search* search;
  int64_t time_ns;
  bool inherited;
};

uint64_t end_of(const trace::Mapping& mapping) {
  const uint64_t end = mapping.start + mapping.mapped_bytes;
  return end < mapping.start ? UINT64_MAX : end;
}

// Calls `add(piece, bytes)` for each piece that the range touches.
template <class Add>
void overlap(std::vector<Piece>& pieces, uint64_t start, uint64_t bytes, Add&& add) {
  const uint64_t end = start + bytes < start ? UINT64_MAX : start + bytes;
  auto at = std::partition_point(pieces.begin(), pieces.end(), [&](const Piece& piece) {
    return end_of(piece.mapping) <= start;
  });
  for (; at != pieces.end() && at->mapping.start < end; ++at) {
    add(*at, std::min(end, end_of(at->mapping)) - std::max(start, at->mapping.start));
  }
}

// glibc's malloc maps a block from 128 KiB on by itself, behind a header of 16 bytes. It is
// unmapped when it is freed, so there is no spare in such a mapping.
constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kHeaderBytes = 16;
constexpr uint64_t kLeastMappedBytes = uint64_t{128} << 10;
bool is_mapped_alone(const trace::Allocation& block) {
  return block.address % kPageBytes == kHeaderBytes && block.size >= kLeastMappedBytes;
}
uint64_t bytes_around(const trace::Allocation& block) {
  const uint64_t filled = (kHeaderBytes + block.size % kPageBytes) % kPageBytes;
  return kHeaderBytes + (filled == 0 ? 0 : kPageBytes - filled);
}

void note_row(const trace::Allocation& row, const Interest& interest) {
  Search& search = *interest.search;
  const bool heap = row.layer == trace::Layer::kHeap;
  if (heap && !interest.inherited) {
    search.live_bytes += row.size;
    ++search.live_count;
  }
  overlap(search.pieces, row.address, row.size, [&](Piece& piece, uint64_t bytes) {
    uint64_t& sum = !heap                ? piece.program_bytes
                    : interest.inherited ? piece.inherited_bytes
                                         : piece.heap_bytes;
    sum += bytes;
    if (!heap) return;
    if (is_mapped_alone(row)) {
      piece.around_blocks_bytes += bytes_around(row);
    } else {
      piece.pooled = true;
    }
  });
}

// Resident bytes that are still nobody's, given out piece by piece.
class Resident {
 public:
  Resident(MemoryBreakdown& breakdown, uint64_t bytes) : breakdown_(breakdown), left_(bytes) {}
  void give(MemoryPart part, uint64_t at_most) {
    const uint64_t bytes = std::min(at_most, left_);
    breakdown_.parts[static_cast<size_t>(part)] += bytes;
    left_ -= bytes;
  }
  void give_rest(MemoryPart part) { give(part, left_); }

 private:
  MemoryBreakdown& breakdown_;
  uint64_t left_;
};

void split_anonymous(const Piece& piece, bool host_recorded, Resident& resident) {
  const uint64_t blocks = piece.heap_bytes + piece.inherited_bytes;
  resident.give(MemoryPart::kHeapLive, piece.heap_bytes);
  resident.give(MemoryPart::kHeapInherited, piece.inherited_bytes);
  // Blocks may lie in what the program mapped: an allocator of its own.
  resident.give(MemoryPart::kProgram,
                piece.program_bytes > blocks ? piece.program_bytes - blocks : 0);
  const MappingKind kind = piece.mapping.kind;
  if (kind == MappingKind::kStatic) return resident.give_rest(MemoryPart::kStatic);
  if (kind == MappingKind::kTidemark) return resident.give_rest(MemoryPart::kTidemark);
  // Without a pool in it: the kernel joins mappings that lie side by side, whoever asked for them.
  resident.give(MemoryPart::kHeapSpare, host_recorded ? piece.around_blocks_bytes : 0);
  const bool allocators = host_recorded && (kind != MappingKind::kAnonymous || piece.pooled);
  resident.give_rest(allocators ? MemoryPart::kHeapSpare : MemoryPart::kUnexplained);
}

void split(const Piece& piece, bool host_recorded, MemoryBreakdown& breakdown) {
  Resident resident(breakdown, piece.mapping.resident_bytes);
  switch (piece.mapping.kind) {
    case MappingKind::kFile:
      return resident.give_rest(MemoryPart::kFiles);
    case MappingKind::kShared:
      return resident.give_rest(MemoryPart::kShared);
    case MappingKind::kStack:
      return resident.give_rest(MemoryPart::kStacks);
    case MappingKind::kDevice:
      return resident.give_rest(MemoryPart::kDevice);
    case MappingKind::kKernel:
      return resident.give_rest(MemoryPart::kKernel);
    case MappingKind::kHeap:
    case MappingKind::kArena:
    case MappingKind::kAnonymous:
    case MappingKind::kStatic:
    case MappingKind::kTidemark:
      return split_anonymous(piece, host_recorded, resident);
  }
}

std::vector<FileMemory> files_of(const trace::Reader& reader, const std::vector<Piece>& pieces) {
  std::map<trace::StringId, FileMemory> by_path;
  for (const Piece& piece : pieces) {
    if (piece.mapping.kind != MappingKind::kFile) continue;
    FileMemory& file = by_path[piece.mapping.path];
    file.mapped_bytes += piece.mapping.mapped_bytes;
    file.resident_bytes += piece.mapping.resident_bytes;
  }
  std::vector<FileMemory> files;
  for (auto& [path, file] : by_path) {
    file.path = reader.text(path);
    files.push_back(std::move(file));
  }
  std::sort(files.begin(), files.end(), [](const FileMemory& a, const FileMemory& b) {
    return std::tie(b.resident_bytes, a.path) < std::tie(a.resident_bytes, b.path);
  });
  return files;
}

MemoryBreakdown breakdown_of(const trace::Reader& reader, const Search& search,
                             bool host_recorded) {
  MemoryBreakdown breakdown;
  breakdown.time_ns = search.snapshot_ns;
  breakdown.heap_live_bytes = search.live_bytes;
  breakdown.heap_live_count = search.live_count;
  for (const Piece& piece : search.pieces) {
    breakdown.rss_bytes += piece.mapping.resident_bytes;
    breakdown.pss_bytes += piece.mapping.pss_bytes;
    breakdown.swap_bytes += piece.mapping.swap_bytes;
    split(piece, host_recorded, breakdown);
  }
  breakdown.files = files_of(reader, search.pieces);
  return breakdown;
}

// The snapshot of each process with the most resident bytes.
Result<void> find_snapshots(const trace::Reader& reader, std::map<trace::ProcessId, Search>& all) {
  const auto rows = reader.mappings();
  if (!rows) return tl::unexpected(rows.error());
  std::map<std::pair<trace::ProcessId, int64_t>, std::vector<Piece>> snapshots;
  for (const trace::Mapping& row : *rows) {
    snapshots[{row.process, row.time_ns}].push_back({row, 0, 0, 0});
  }
  std::map<trace::ProcessId, uint64_t> most;
  for (auto& [key, pieces] : snapshots) {
    uint64_t bytes = 0;
    for (const Piece& piece : pieces) bytes += piece.mapping.resident_bytes;
    const auto [best, fresh] = most.emplace(key.first, bytes);
    if (!fresh && best->second >= bytes) continue;
    best->second = bytes;
    std::sort(pieces.begin(), pieces.end(),
              [](const Piece& a, const Piece& b) { return a.mapping.start < b.mapping.start; });
    Search& search = all[key.first];
    search.snapshot_ns = key.second;
    search.pieces = std::move(pieces);
  }
  return {};
}

uint64_t heap_start(const Search& search) {
  for (const Piece& piece : search.pieces) {
    if (piece.mapping.kind == MappingKind::kHeap) return piece.mapping.start;
  }
  return 0;
}

// A fork copies the address space, so the heap begins where the parent's does; a program that was
// started anew has its own place.
bool forked_from(const Search& child, const Search& parent) {
  return heap_start(child) != 0 && heap_start(child) == heap_start(parent);
}

std::unordered_multimap<int32_t, Interest> interests_of(
    const trace::Reader& reader, std::map<trace::ProcessId, Search>& searches) {
  std::map<trace::ProcessId, const trace::Process*> processes;
  for (const trace::Process& process : reader.processes()) processes[process.id] = &process;
  std::unordered_multimap<int32_t, Interest> interests;
  for (auto& [id, search] : searches) {
    if (search.snapshot_ns == kNowhere) continue;
    interests.insert({static_cast<int32_t>(id), {&search, search.snapshot_ns, false}});
    auto at = processes.find(id);
    for (int i = 0; i < kMaxGenerations && at != processes.end(); ++i) {
      const trace::Process& child = *at->second;
      at = processes.find(child.parent);
      const auto parent = searches.find(child.parent);
      if (at == processes.end() || parent == searches.end() ||
          !forked_from(search, parent->second)) {
        break;
      }
      interests.insert({static_cast<int32_t>(child.parent), {&search, child.start_ns, true}});
    }
  }
  return interests;
}

Result<void> search_rows(const trace::Reader& reader,
                         std::map<trace::ProcessId, Search>& searches) {
  const Lifetimes lifetimes(reader);
  const auto interests = interests_of(reader, searches);
  // What is over before the first moment that is asked about, or begins after the last, is not
  // read.
  int64_t first_ns = trace::kNever;
  int64_t last_ns = kNowhere;
  const auto asked_at = [&](int64_t time_ns) {
    if (time_ns == kNowhere) return;
    first_ns = std::min(first_ns, time_ns);
    last_ns = std::max(last_ns, time_ns);
  };
  for (const auto& [process, search] : searches) asked_at(search.heap_peak_ns);
  for (const auto& [process, interest] : interests) asked_at(interest.time_ns);
  if (last_ns == kNowhere) return {};
  const auto lives_at = [&](const trace::Allocation& row, int64_t time_ns) {
    return row.alloc_ns <= time_ns && time_ns < lifetimes.end_ns(row);
  };
  for (const trace::Layer layer : {trace::Layer::kOs, trace::Layer::kHeap}) {
    trace::AllocationFilter filter;
    filter.layer = layer;
    filter.begin_ns = first_ns;
    if (last_ns != trace::kNever) filter.end_ns = last_ns + 1;
    const auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
      for (const trace::Allocation& row : batch) {
        const auto own = searches.find(row.process);
        if (own != searches.end() && layer == trace::Layer::kHeap &&
            lives_at(row, own->second.heap_peak_ns)) {
          own->second.heap_peak.add(row);
        }
        const auto [first, last] = interests.equal_range(static_cast<int32_t>(row.process));
        for (auto interest = first; interest != last; ++interest) {
          if (lives_at(row, interest->second.time_ns)) note_row(row, interest->second);
        }
      }
    });
    if (!read) return read;
  }
  return {};
}

// Without rows it is not known where the blocks lie: malloc's own mappings are taken to hold them
// first, then those that could be anybody's.
void search_sums(const HostSums& sums, trace::ProcessId process, Search& search) {
  search.heap_peak = sums.at_process_peak(trace::Layer::kHeap, process);
  if (search.snapshot_ns == kNowhere) return;
  const auto live = [&](trace::Layer layer) {
    return static_cast<uint64_t>(bytes_at(sums.curve(layer, process), search.snapshot_ns));
  };
  search.live_bytes = live(trace::Layer::kHeap);
  search.live_count = sums.count_at(trace::Layer::kHeap, process, search.snapshot_ns);
  uint64_t heap_left = search.live_bytes;
  uint64_t program_left = live(trace::Layer::kOs);
  for (const bool anonymous : {false, true}) {
    for (Piece& piece : search.pieces) {
      const MappingKind kind = piece.mapping.kind;
      const bool fits = anonymous ? kind == MappingKind::kAnonymous
                                  : kind == MappingKind::kHeap || kind == MappingKind::kArena;
      if (!fits) continue;
      const uint64_t resident = piece.mapping.resident_bytes;
      piece.heap_bytes = std::min(heap_left, resident);
      piece.pooled = piece.heap_bytes > 0;
      heap_left -= piece.heap_bytes;
      if (!anonymous) continue;
      const uint64_t program = std::min(program_left, resident - piece.heap_bytes);
      program_left -= program;
      piece.program_bytes = piece.heap_bytes + program;
    }
  }
}

Result<void> search(const trace::Reader& reader, const std::optional<ProcessPeaks>& heap_peaks,
                    std::map<trace::ProcessId, Search>& searches) {
  if (auto found = find_snapshots(reader, searches); !found) return found;
  Result<ProcessPeaks> asked;
  if (!heap_peaks) asked = process_peaks(reader, trace::Layer::kHeap);
  if (!asked) return tl::unexpected(asked.error());
  for (const auto& [process, peak] : heap_peaks ? *heap_peaks : *asked)
    searches[process].heap_peak_ns = peak.time_ns;
  const auto sums = HostSums::read(reader);
  if (!sums) return tl::unexpected(sums.error());
  if (!sums->speak_for(trace::Layer::kHeap)) return search_rows(reader, searches);
  for (auto& [process, search] : searches) search_sums(*sums, process, search);
  return {};
}

Result<std::map<trace::ProcessId, ProcessMemoryUse::System>> read_samples(
    const trace::Reader& reader) {
  const auto samples = reader.process_memory();
  if (!samples) return tl::unexpected(samples.error());
  std::map<trace::ProcessId, ProcessMemoryUse::System> all;
  for (const trace::ProcessMemory& sample : *samples) {
    auto& use = all[sample.process];
    if (sample.rss_bytes > use.peak_rss_bytes) {
      use.peak_rss_bytes = sample.rss_bytes;
      use.peak_rss_ns = sample.time_ns;
    }
    use.kernel_peak_bytes = std::max(use.kernel_peak_bytes, sample.peak_rss_bytes);
    use.peak_swap_bytes = std::max(use.peak_swap_bytes, sample.swap_bytes);
    use.minor_faults = sample.minor_faults;
    use.major_faults = sample.major_faults;
  }
  return all;
}

}  // namespace

const char* to_string(MemoryPart part) {
  constexpr const char* kNames[kMemoryParts] = {
      "heap_live", "heap_inherited", "heap_spare", "program", "files",    "shared",
      "stacks",    "static",         "device",     "kernel",  "tidemark", "unexplained"};
  return kNames[static_cast<size_t>(part)];
}

Result<std::vector<ProcessMemoryUse>> process_memory(const trace::Reader& reader,
                                                     MemoryDepth depth) {
  return process_memory(reader, depth, std::nullopt);
}

Result<std::vector<ProcessMemoryUse>> process_memory(
    const trace::Reader& reader, MemoryDepth depth, const std::optional<ProcessPeaks>& heap_peaks) {
  const auto samples = read_samples(reader);
  if (!samples) return tl::unexpected(samples.error());
  std::map<trace::ProcessId, Search> searches;
  if (depth == MemoryDepth::kWithBlocks) {
    if (auto searched = search(reader, heap_peaks, searches); !searched) {
      return tl::unexpected(searched.error());
    }
  }
  const bool host_recorded = reader.meta("option_host") != "off";
  std::vector<ProcessMemoryUse> uses;
  for (const trace::Process& process : reader.processes()) {
    ProcessMemoryUse use;
    use.process = process.id;
    if (const auto found = samples->find(process.id); found != samples->end()) {
      use.system = found->second;
    }
    if (const auto found = searches.find(process.id); found != searches.end()) {
      Search& search = found->second;
      if (search.snapshot_ns != kNowhere) {
        use.breakdown = breakdown_of(reader, search, host_recorded);
      }
      if (search.heap_peak_ns != kNowhere) {
        use.heap_peak =
            search.heap_peak.take({trace::Layer::kHeap, trace::Space::kHost}, search.heap_peak_ns);
      }
    }
    uses.push_back(std::move(use));
  }
  return uses;
}

}  // namespace tidemark::analyzer
