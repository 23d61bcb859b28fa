// What grows from iteration to iteration.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "findings_parts.h"
#include "lifetimes.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

// The iterations that are compared: all alike, and what there is only at first is there.
std::vector<Iteration> compared(const Structure& structure) {
  std::vector<Iteration> iterations;
  for (const Iteration& iteration : structure.iterations) {
    if (!iteration.warm_up && iteration.regular) iterations.push_back(iteration);
  }
  return iterations;
}

constexpr size_t kFewestIterations = 3;

// Live bytes before each begins, where each is above the one before it; empty: it does not grow all
// the time. When the last one ends nobody knows for sure.
std::vector<int64_t> rising(const std::vector<Iteration>& iterations, const UsageCurve& curve) {
  std::vector<int64_t> levels;
  for (const Iteration& iteration : iterations) {
    levels.push_back(bytes_at(curve, iteration.begin_ns - 1));
  }
  const bool rises = std::adjacent_find(levels.begin(), levels.end(), [](int64_t a, int64_t b) {
                       return b <= a;
                     }) == levels.end();
  if (!rises || levels.size() < kFewestIterations) return {};
  // Caches that fill rise less and less.
  const int64_t mean = (levels.back() - levels.front()) / static_cast<int64_t>(levels.size() - 1);
  const int64_t last = levels.back() - levels[levels.size() - 2];
  return last * 2 >= mean ? levels : std::vector<int64_t>{};
}

struct Kept {
  Group group;
  std::set<int32_t> iterations;  // that left something
  std::vector<Absence> later;    // in the last one, and after it
};
using KeptLines = std::map<std::string, Kept>;

// What was allocated from the first to the last of these and lived when the last began, by line.
Result<KeptLines> kept_lines(const Search& search, const UsageCurve& curve, int64_t first_ns,
                             int64_t last_ns) {
  const Lifetimes lifetimes(search.reader);
  KeptLines lines;
  std::map<trace::StackId, CodeLine> known;
  trace::AllocationFilter filter = filter_for(curve.series);
  filter.begin_ns = last_ns - 1;
  auto read = search.reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      const int64_t end = lifetimes.end_ns(row);
      if (row.alloc_ns < first_ns || end < last_ns) continue;
      const auto [line, fresh] = known.try_emplace(row.alloc_stack);
      if (fresh) line->second = code_line(search.reader.frames(row.alloc_stack));
      Kept& kept = lines[line->second.file + line->second.name];
      if (row.alloc_ns >= last_ns) {
        kept.later.push_back({row.alloc_ns, end, row.size});
        continue;
      }
      kept.group.line = line->second;
      kept.group.add(row, row.alloc_ns, end, search.reader.end_ns());
      kept.iterations.insert(search.structure.iteration_at(row.alloc_ns));
    }
  });
  if (!read) return tl::unexpected(read.error());
  return lines;
}

bool told_as_leak(const std::vector<Finding>& findings, const Series& series, const Group& group) {
  return std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
    return finding.pattern == Pattern::kLeak && finding.series == series &&
           finding.where == group.line.name && finding.file == group.line.file;
  });
}

}  // namespace

std::optional<uint64_t> growth_of(const Structure& structure, const UsageCurve& curve) {
  const std::vector<Iteration> iterations = compared(structure);
  if (iterations.size() < kFewestIterations) return std::nullopt;
  const std::vector<int64_t> levels = rising(iterations, curve);
  if (levels.empty()) return 0;
  return static_cast<uint64_t>(levels.back() - levels.front()) / (levels.size() - 1);
}

Result<void> find_growth(const Search& search, const UsageCurve& curve,
                         std::vector<Finding>& findings) {
  // What holds other layers grows with them.
  if (search.pool_inside(curve.series) || curve.series.layer == trace::Layer::kOs) return {};
  const std::vector<Iteration> iterations = compared(search.structure);
  const std::vector<int64_t> levels = rising(iterations, curve);
  if (levels.empty()) return {};
  const size_t steps = levels.size() - 1;
  const int64_t growth = levels.back() - levels.front();
  if (growth * kLeastShare < curve.peak_bytes) return {};
  const auto lines =
      kept_lines(search, curve, iterations.front().begin_ns, iterations.back().begin_ns);
  if (!lines) return tl::unexpected(lines.error());
  for (const auto& [where, kept] : *lines) {
    // A line that grows left something in each iteration, and not only in the last.
    if (kept.iterations.size() < steps || told_as_leak(findings, curve.series, kept.group))
      continue;
    Group group = kept.group;
    group.absences.insert(group.absences.end(), kept.later.begin(), kept.later.end());
    Finding finding = finding_of(Pattern::kGrowth, curve, group);
    if (!lowers_peak(finding)) continue;
    finding.bytes = group.bytes / kept.iterations.size();
    finding.evidence = fmt::format(
        "from each of {} iterations to the next more was live, {} in all; of it {} in {} blocks "
        "from this line",
        levels.size(), format_bytes(static_cast<uint64_t>(growth)), format_bytes(group.bytes),
        format_count(group.count));
    finding.mend = "let go of it within the iteration (in Python: keep numbers, not tensors)";
    findings.push_back(std::move(finding));
  }
  return {};
}

}  // namespace tidemark::analyzer
