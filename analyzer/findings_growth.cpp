// What grows from iteration to iteration.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "code_line.h"
#include "findings_parts.h"
#include "lifetimes.h"
#include "peak_without.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

// Live bytes at the end of each regular iteration after the warm-up, where each is above the one
// before it; empty: it does not grow all the time.
std::vector<int64_t> rising(const Structure& structure, const UsageCurve& curve) {
  constexpr size_t several = 3;
  std::vector<int64_t> levels;
  for (const Iteration& iteration : structure.iterations) {
    if (iteration.warm_up || !iteration.regular) continue;
    levels.push_back(bytes_at(curve, iteration.end_ns - 1));
  }
  const bool rises = std::adjacent_find(levels.begin(), levels.end(), [](int64_t a, int64_t b) {
                       return b <= a;
                     }) == levels.end();
  return rises && levels.size() >= several ? levels : std::vector<int64_t>{};
}

struct Kept {
  CodeLine line;
  uint64_t bytes = 0;
  uint64_t count = 0;
  std::vector<Absence> absences;
  double byte_seconds = 0;
};

}  // namespace

Result<void> find_growth(const trace::Reader& reader, const Structure& structure,
                         const UsageCurve& curve, std::vector<Finding>& findings) {
  const std::vector<int64_t> levels = rising(structure, curve);
  if (levels.empty()) return {};
  const auto steps = static_cast<int64_t>(levels.size() - 1);
  const int64_t growth = (levels.back() - levels.front()) / steps;
  if (growth < curve.peak_bytes / kLeastShare) return {};
  const auto first = std::find_if(structure.iterations.begin(), structure.iterations.end(),
                                  [](const Iteration& one) { return !one.warm_up; });
  const int64_t begin_ns = first->begin_ns;
  const int64_t end_ns = structure.iterations.back().end_ns;
  const Lifetimes lifetimes(reader);
  std::map<std::string, Kept> lines;
  trace::AllocationFilter filter = filter_for(curve.series);
  filter.begin_ns = begin_ns;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      const int64_t end = lifetimes.end_ns(row);
      if (row.alloc_ns < begin_ns || row.alloc_ns >= end_ns || end < end_ns) continue;
      CodeLine line = code_line(reader.frames(row.alloc_stack));
      Kept& kept = lines[line.file + line.name];
      kept.line = std::move(line);
      kept.bytes += row.size;
      ++kept.count;
      kept.absences.push_back({row.alloc_ns, end, row.size});
      constexpr double ns_per_second = 1e9;
      kept.byte_seconds += static_cast<double>(row.size) *
                           static_cast<double>(end_ns - row.alloc_ns) / ns_per_second;
    }
  });
  if (!read) return tl::unexpected(read.error());
  if (lines.empty()) return {};
  const auto most = std::max_element(lines.begin(), lines.end(), [](const auto& a, const auto& b) {
    return a.second.bytes < b.second.bytes;
  });
  const Kept& kept = most->second;
  Finding finding;
  finding.pattern = Pattern::kGrowth;
  finding.series = curve.series;
  finding.bytes = static_cast<uint64_t>(growth);
  finding.count = kept.count;
  finding.byte_seconds = kept.byte_seconds;
  finding.where = kept.line.name;
  finding.file = kept.line.file;
  finding.line = kept.line.line;
  finding.evidence = fmt::format(
      "after each of {} iterations more was live than after the one before: {} in all, {} of it in "
      "{} blocks from this line",
      levels.size(), format_bytes(static_cast<uint64_t>(levels.back() - levels.front())),
      format_bytes(kept.bytes), kept.count);
  finding.mend = "let go of it within the iteration (in Python: keep numbers, not tensors)";
  finding.peak_bytes = curve.peak_bytes;
  finding.peak_without_bytes = peak_without(curve, kept.absences).bytes;
  findings.push_back(std::move(finding));
  return {};
}

}  // namespace tidemark::analyzer
