// Resident memory that no block explains: what malloc keeps of freed blocks, and what no recorded
// call asked for. Of each process where most of it was resident.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "findings_parts.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

constexpr Series kResident{trace::Layer::kOs, trace::Space::kHost, trace::kNoDevice};
// What every program has of it: an arena's top, a library's own mapping.
constexpr uint64_t kUsual = uint64_t{8} << 20;
constexpr uint64_t kShare = 10;  // of what is resident

uint64_t part_of(const MemoryBreakdown& all, MemoryPart part) {
  return all.parts[static_cast<size_t>(part)];
}

// The resident bytes of a process as they were sampled.
Result<UsageCurve> resident_curve(const trace::Reader& reader, trace::ProcessId process) {
  auto samples = reader.process_memory();
  if (!samples) return tl::unexpected(samples.error());
  UsageCurve curve;
  curve.series = kResident;
  for (const trace::ProcessMemory& sample : *samples) {
    if (sample.process != process) continue;
    if (!curve.points.empty() && sample.time_ns <= curve.points.back().time_ns) continue;
    curve.points.push_back({sample.time_ns, sample.rss_bytes});
    if (sample.rss_bytes <= curve.peak_bytes) continue;
    curve.peak_bytes = sample.rss_bytes;
    curve.peak_ns = sample.time_ns;
  }
  return curve;
}

int64_t end_of(const trace::Reader& reader, trace::ProcessId process) {
  for (const trace::Process& one : reader.processes()) {
    if (one.id == process) return std::min(one.end_ns, reader.end_ns());
  }
  return reader.end_ns();
}

constexpr uint64_t kPage = 4096;

// Who had the pages last that malloc keeps, and until when.
struct Keeper {
  CodeLine line;
  int64_t until_ns = trace::kNever;
};

// Where malloc's own pieces of the address space lay in that snapshot, ascending.
Result<std::vector<trace::Mapping>> heap_pieces(const trace::Reader& reader,
                                                trace::ProcessId process, int64_t time_ns) {
  const auto rows = reader.mappings();
  if (!rows) return tl::unexpected(rows.error());
  std::vector<trace::Mapping> pieces;
  for (const trace::Mapping& row : *rows) {
    const bool heap =
        row.kind == trace::MappingKind::kHeap || row.kind == trace::MappingKind::kArena;
    if (heap && row.process == process && row.time_ns == time_ns) pieces.push_back(row);
  }
  std::ranges::sort(pieces, {}, &trace::Mapping::start);
  return pieces;
}

bool within(const std::vector<trace::Mapping>& pieces, uint64_t address) {
  const auto after = std::ranges::upper_bound(pieces, address, {}, &trace::Mapping::start);
  if (after == pieces.begin()) return false;
  return address - std::prev(after)->start < std::prev(after)->mapped_bytes;
}

// Rows come in the order in which blocks were allocated: the last one on a page was its last owner.
Result<Keeper> keeper_of(const trace::Reader& reader, trace::ProcessId process, int64_t time_ns) {
  const auto pieces = heap_pieces(reader, process, time_ns);
  if (!pieces) return tl::unexpected(pieces.error());
  struct Owner {
    trace::StackId stack{};
    int64_t free_ns = 0;
  };
  std::unordered_map<uint64_t, Owner> pages;
  trace::AllocationFilter filter;
  filter.layer = trace::Layer::kHeap;
  filter.end_ns = time_ns;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (row.process != process || row.size == 0 || !within(*pieces, row.address)) continue;
      const uint64_t last = (row.address + row.size - 1) / kPage;
      for (uint64_t page = row.address / kPage; page <= last; ++page) {
        Owner& owner = pages[page];
        // A page in which anything lives is not spare.
        if (owner.free_ns <= time_ns) owner = {row.alloc_stack, row.free_ns};
      }
    }
  });
  if (!read) return tl::unexpected(read.error());
  struct Kept {
    CodeLine line;
    uint64_t pages = 0;
    int64_t until_ns = 0;
  };
  std::map<trace::StackId, CodeLine> known;
  std::map<std::string, Kept> lines;
  const Kept* most = nullptr;
  for (const auto& [page, owner] : pages) {
    if (owner.free_ns > time_ns) continue;
    const auto [line, fresh] = known.try_emplace(owner.stack);
    if (fresh) line->second = code_line(reader.frames(owner.stack));
    Kept& kept = lines[line->second.file + line->second.name];
    kept.line = line->second;
    ++kept.pages;
    kept.until_ns = std::max(kept.until_ns, owner.free_ns);
    if (most == nullptr || kept.pages > most->pages) most = &kept;
  }
  if (most == nullptr) return Keeper{{}, time_ns};
  return Keeper{most->line, most->until_ns};
}

bool worth_telling(uint64_t bytes, const MemoryBreakdown& all) {
  return bytes >= kUsual && bytes * kShare >= all.rss_bytes;
}

}  // namespace

Result<void> find_resident_waste(const trace::Reader& reader,
                                 const std::vector<ProcessMemoryUse>& uses,
                                 std::vector<Finding>& findings) {
  // What was there before is no call's that was recorded.
  const bool whole = reader.meta("option_host") != "off" && reader.meta("attached") != "1";
  for (const ProcessMemoryUse& use : uses) {
    if (!use.breakdown || !whole) continue;
    const MemoryBreakdown& all = *use.breakdown;
    const auto curve = resident_curve(reader, use.process);
    if (!curve) return tl::unexpected(curve.error());
    const auto say = [&](Pattern pattern, uint64_t bytes, int64_t since_ns, CodeLine line) {
      const int64_t end_ns = end_of(reader, use.process);
      Group group;
      group.line = std::move(line);
      group.bytes = bytes;
      group.byte_seconds = static_cast<double>(bytes) *
                           static_cast<double>(between(since_ns, end_ns)) / kNsPerSecond;
      // Samples end with the process. What nobody asked for may have been there all the time.
      const int64_t absent_ns = pattern == Pattern::kUnexplained ? 0 : since_ns;
      group.absences = {{absent_ns, trace::kNever, bytes}};
      group.largest = Example{{}, since_ns, end_ns};
      Finding finding = finding_of(pattern, *curve, group);
      if (!lowers_peak(finding)) return;
      if (pattern == Pattern::kHostSpare) {
        finding.evidence = fmt::format(
            "at {} malloc kept them of {} resident, freed or not handed out yet, where {} were "
            "live; most of their pages had last been this line's, until {}",
            format_ns(all.time_ns), format_bytes(all.rss_bytes), format_bytes(all.heap_live_bytes),
            format_ns(since_ns));
        finding.mend =
            "malloc_trim(0) once it is freed, fewer arenas (MALLOC_ARENA_MAX), or blocks that are "
            "mapped by themselves (M_MMAP_THRESHOLD)";
      } else {
        finding.evidence = fmt::format(
            "at {} they were anonymous and resident, of {}, and no recorded call asked for them",
            format_ns(all.time_ns), format_bytes(all.rss_bytes));
        finding.mend =
            "look for what maps memory by itself (a system call, a runtime that is linked in): "
            "tidemark sql FILE \"select * from mapping order by resident_bytes desc\"";
      }
      findings.push_back(std::move(finding));
    };
    const uint64_t spare = part_of(all, MemoryPart::kHeapSpare);
    if (worth_telling(spare, all)) {
      auto keeper = keeper_of(reader, use.process, all.time_ns);
      if (!keeper) return tl::unexpected(keeper.error());
      say(Pattern::kHostSpare, spare, keeper->until_ns, std::move(keeper->line));
    }
    const uint64_t unexplained = part_of(all, MemoryPart::kUnexplained);
    if (worth_telling(unexplained, all)) {
      say(Pattern::kUnexplained, unexplained, all.time_ns, {});
    }
  }
  sort_findings(findings);
  return {};
}

}  // namespace tidemark::analyzer
