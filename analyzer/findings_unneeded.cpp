// Blocks that lived at the peak and were not needed then: never used, written only, used only
// later, or no more.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "code_line.h"
#include "findings_parts.h"
#include "lifetimes.h"
#include "peak_without.h"
#include "tidemark/analyzer/units.h"
#include "tidemark/analyzer/uses.h"

namespace tidemark::analyzer {
namespace {

struct Group {
  CodeLine line;
  uint64_t bytes = 0;
  uint64_t count = 0;
  double byte_seconds = 0;
  std::vector<Absence> absences;
};

// A driver's block in which a pool lays its own is used through these.
Result<bool> pool_inside(const trace::Reader& reader, const Series& series) {
  bool inside = false;
  if (series.layer != trace::Layer::kDriver) return inside;
  trace::AllocationFilter filter = filter_for(series);
  filter.layer = trace::Layer::kPool;
  auto read = reader.allocations(
      filter, [&](std::span<const trace::Allocation> batch) { inside = inside || !batch.empty(); });
  if (!read) return tl::unexpected(read.error());
  return inside;
}

bool kernels_tell(const UseIndex& uses) {
  bool tell = false;
  for (const trace::AllocationId block : uses.blocks()) {
    for (size_t i = 0; i < uses.count(block) && !tell; ++i) {
      tell = uses.use(block, i).kind == UseKind::kKernel;
    }
    if (tell) break;
  }
  return tell;
}

bool only_written(const UseIndex& uses, trace::AllocationId block) {
  for (size_t i = 0; i < uses.count(block); ++i) {
    const UseKind kind = uses.use(block, i).kind;
    if (kind == UseKind::kKernel || kind == UseKind::kCopyFrom) return false;
  }
  return true;
}

struct Needless {
  Pattern pattern{};
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
};

// When the device, which lags behind the host, had passed the host's moment of the peak for sure:
// it used what was allocated later. What is first used after that was not needed at the peak.
Result<int64_t> peak_passed(const trace::Reader& reader, const UsageCurve& curve,
                            const UseIndex& uses) {
  int64_t passed = trace::kNever;
  trace::AllocationFilter filter = filter_for(curve.series);
  filter.begin_ns = curve.peak_ns;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (row.alloc_ns <= curve.peak_ns || uses.count(row.id) == 0) continue;
      passed = std::min(passed, uses.first(row.id).start_ns);
    }
  });
  if (!read) return tl::unexpected(read.error());
  return passed;
}

std::optional<Needless> needless(const UseIndex& uses, const trace::Allocation& row, int64_t end_ns,
                                 int64_t peak_ns, int64_t passed_ns) {
  if (uses.count(row.id) == 0) return Needless{Pattern::kUnused, row.alloc_ns, end_ns};
  if (only_written(uses, row.id)) return Needless{Pattern::kDeadWrite, row.alloc_ns, end_ns};
  const int64_t first = uses.first(row.id).start_ns;
  const int64_t last = uses.last(row.id).start_ns;
  if (first > passed_ns) return Needless{Pattern::kEarlyAllocation, row.alloc_ns, first};
  // Work is queued: the last use may start after the host let go of the block.
  if (last < peak_ns && last < end_ns)
    return Needless{Pattern::kLateDeallocation, last + 1, end_ns};
  return std::nullopt;
}

const char* evidence(Pattern pattern) {
  switch (pattern) {
    case Pattern::kUnused:
      return "no kernel, copy or set used it from its allocation to its end";
    case Pattern::kDeadWrite:
      return "it was copied to or set, and no kernel or copy read it";
    case Pattern::kEarlyAllocation:
      return "its first use came only after the peak";
    default:
      return "its last use was over before the peak, and it was kept";
  }
}

const char* mend(Pattern pattern) {
  switch (pattern) {
    case Pattern::kUnused:
      return "do not allocate it";
    case Pattern::kDeadWrite:
      return "drop it together with the copy that fills it";
    case Pattern::kEarlyAllocation:
      return "allocate it where it is first used";
    default:
      return "free it (in Python: delete the last reference) after its last use";
  }
}

using Groups = std::map<std::pair<Pattern, std::string>, Group>;

Result<Groups> groups_at_peak(const trace::Reader& reader, const UsageCurve& curve,
                              const UseIndex& uses) {
  Groups groups;
  const auto passed = peak_passed(reader, curve, uses);
  if (!passed) return tl::unexpected(passed.error());
  const Lifetimes lifetimes(reader);
  trace::AllocationFilter filter = filter_for(curve.series);
  filter.begin_ns = curve.peak_ns;
  filter.end_ns = curve.peak_ns + 1;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      // Code is loaded by the driver itself; what it has of use is not recorded.
      if (reader.text(row.api) == "cuda module") continue;
      const int64_t end = std::min(lifetimes.end_ns(row), std::max(reader.end_ns(), row.alloc_ns));
      if (end <= curve.peak_ns) continue;
      const auto idle = needless(uses, row, end, curve.peak_ns, *passed);
      if (!idle) continue;
      CodeLine line = code_line(reader.frames(row.alloc_stack));
      Group& group = groups[{idle->pattern, line.file + line.name}];
      group.line = std::move(line);
      group.bytes += row.size;
      ++group.count;
      constexpr double ns_per_second = 1e9;
      group.byte_seconds += static_cast<double>(row.size) *
                            static_cast<double>(idle->end_ns - idle->begin_ns) / ns_per_second;
      group.absences.push_back({idle->begin_ns, idle->end_ns, row.size});
    }
  });
  if (!read) return tl::unexpected(read.error());
  return groups;
}

}  // namespace

Result<void> find_unneeded(const trace::Reader& reader, const UsageCurve& curve,
                           std::vector<Finding>& findings) {
  if (curve.series.space != trace::Space::kDevice || curve.peak_bytes == 0) return {};
  const auto inside = pool_inside(reader, curve.series);
  if (!inside) return tl::unexpected(inside.error());
  if (*inside) return {};
  const auto uses = UseIndex::build(reader);
  if (!uses) return tl::unexpected(uses.error());
  if (!kernels_tell(*uses)) return {};
  const auto groups = groups_at_peak(reader, curve, *uses);
  if (!groups) return tl::unexpected(groups.error());
  for (const auto& [key, group] : *groups) {
    if (static_cast<int64_t>(group.bytes) < curve.peak_bytes / kLeastShare) continue;
    Finding finding;
    finding.pattern = key.first;
    finding.series = curve.series;
    finding.bytes = group.bytes;
    finding.count = group.count;
    finding.byte_seconds = group.byte_seconds;
    finding.where = group.line.name;
    finding.file = group.line.file;
    finding.line = group.line.line;
    finding.evidence = evidence(key.first);
    finding.mend = mend(key.first);
    finding.peak_bytes = curve.peak_bytes;
    finding.peak_without_bytes = peak_without(curve, group.absences).bytes;
    findings.push_back(std::move(finding));
  }
  return {};
}

}  // namespace tidemark::analyzer
