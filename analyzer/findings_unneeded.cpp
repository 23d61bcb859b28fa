// Blocks that lived at the peak and were not needed then: never used, written only, used only
// later, no more, or not for long.
//
//   allocated     first use          last use     freed
//       |-- early --|---- x --- idle ---x |-- late --|
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "findings_parts.h"
#include "lifetimes.h"
#include "stack_roles.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

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

// What the verdict on a block of one series depends on.
class Judge {
 public:
  Judge(const Search& search, const UsageCurve& curve, const UseIndex& uses)
      : search_(search), curve_(curve), uses_(uses) {}

  // The device lags behind the host. It had passed the host's moment of the peak for sure when it
  // used what was allocated later: what is first used after that was not needed at the peak. And
  // what a program that ran out of memory would have done next, nobody knows.
  Result<void> look_beyond_peak() {
    trace::AllocationFilter filter = filter_for(curve_.series);
    filter.begin_ns = curve_.peak_ns;
    auto read = search_.reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
      for (const trace::Allocation& row : batch) {
        if (row.alloc_ns <= curve_.peak_ns || uses_.count(row.id) == 0) continue;
        passed_ns_ = std::min(passed_ns_, uses_.first(row.id).start_ns);
      }
    });
    if (!read) return read;
    auto events = search_.reader.out_of_memory();
    if (!events) return tl::unexpected(events.error());
    out_of_memory_ = std::move(*events);
    return {};
  }

  std::optional<Needless> judge(const trace::Allocation& row, int64_t end_ns) const {
    if (!search_.seen(row.alloc_ns, end_ns)) return std::nullopt;
    if (uses_.count(row.id) == 0) {
      if (cut_short(row, row.alloc_ns, end_ns)) return std::nullopt;
      return Needless{Pattern::kUnused, row.alloc_ns, end_ns};
    }
    if (only_written(uses_, row.id)) {
      if (cut_short(row, last_end(row.id), end_ns)) return std::nullopt;
      return Needless{Pattern::kDeadWrite, row.alloc_ns, end_ns};
    }
    const int64_t first = uses_.first(row.id).start_ns;
    const int64_t last = last_end(row.id);
    if (first > passed_ns_) return Needless{Pattern::kEarlyAllocation, row.alloc_ns, first};
    // Work is queued: the last use may end after the host let go of the block.
    if (last < curve_.peak_ns) return late(row, last, end_ns);
    return idle(row, end_ns);
  }

 private:
  // Kernels of several streams may end in another order than they start.
  int64_t last_end(trace::AllocationId block) const {
    int64_t end = 0;
    for (size_t i = 0; i < uses_.count(block); ++i) end = std::max(end, uses_.use(block, i).end_ns);
    return end;
  }

  bool cut_short(const trace::Allocation& row, int64_t after_ns, int64_t end_ns) const {
    const auto& processes = search_.reader.processes();
    const auto owner =
        std::find_if(processes.begin(), processes.end(),
                     [&](const trace::Process& process) { return process.id == row.process; });
    const bool ended = owner != processes.end() && owner->exit == 0;
    if (row.free_ns == trace::kNever && owner != processes.end() && !ended) return true;
    return std::any_of(out_of_memory_.begin(), out_of_memory_.end(),
                       [&](const trace::OutOfMemory& event) {
                         return event.process == row.process && event.time_ns > after_ns &&
                                event.time_ns <= end_ns;
                       });
  }

  // What is used once in each iteration lies idle for the rest of it: that is its rhythm.
  bool holds_iteration(int64_t begin_ns, int64_t end_ns) const {
    const std::vector<Iteration>& iterations = search_.structure.iterations;
    return std::any_of(iterations.begin(), iterations.end(), [&](const Iteration& iteration) {
      return iteration.regular && iteration.begin_ns >= begin_ns && iteration.end_ns <= end_ns;
    });
  }
  bool spans_iterations(const trace::Allocation& row, int64_t end_ns) const {
    const Structure& structure = search_.structure;
    return !structure.iterations.empty() &&
           structure.iteration_at(row.alloc_ns) != structure.iteration_at(end_ns);
  }

  std::optional<Needless> late(const trace::Allocation& row, int64_t last, int64_t end_ns) const {
    if (last >= end_ns || cut_short(row, last, end_ns)) return std::nullopt;
    int64_t before = row.alloc_ns;
    int64_t longest = 0;
    for (size_t i = 0; i < uses_.count(row.id); ++i) {
      const Use use = uses_.use(row.id, i);
      longest = std::max(longest, between(before, use.start_ns));
      before = std::max(before, use.end_ns);
    }
    if (between(last, end_ns) <= longest) return std::nullopt;
    if (spans_iterations(row, end_ns) && !holds_iteration(last, end_ns)) return std::nullopt;
    return Needless{Pattern::kLateDeallocation, last, end_ns};
  }

  // Long enough to be somewhere else in the meantime: for more than an iteration, or a quarter of
  // its life; and twice as long as copying it out and back takes.
  std::optional<Needless> idle(const trace::Allocation& row, int64_t end_ns) const {
    constexpr double assumed_bytes_per_ns = 20;
    int64_t before = trace::kNever;
    for (size_t i = 0; i < uses_.count(row.id); ++i) {
      const int64_t use = uses_.use(row.id, i).start_ns;
      if (use > curve_.peak_ns) {
        // The peak must lie within, as the device saw it too.
        if (before >= curve_.peak_ns || use <= passed_ns_) return std::nullopt;
        const bool long_enough = spans_iterations(row, end_ns)
                                     ? holds_iteration(before, use)
                                     : between(before, use) >= between(row.alloc_ns, end_ns) / 4;
        const double copies_ns = 2 * static_cast<double>(row.size) / assumed_bytes_per_ns;
        if (!long_enough || static_cast<double>(between(before, use)) < 2 * copies_ns)
          return std::nullopt;
        return Needless{Pattern::kTemporaryIdle, before, use};
      }
      const int64_t end = uses_.use(row.id, i).end_ns;
      before = before == trace::kNever ? end : std::max(before, end);
    }
    return std::nullopt;
  }

  const Search& search_;
  const UsageCurve& curve_;
  const UseIndex& uses_;
  int64_t passed_ns_ = trace::kNever;
  std::vector<trace::OutOfMemory> out_of_memory_;
};

std::string evidence(Pattern pattern, int64_t longest_ns) {
  const std::string time = format_ns(longest_ns);
  switch (pattern) {
    case Pattern::kUnused:
      return fmt::format("no kernel was handed it and no copy or set used it, for {}", time);
    case Pattern::kDeadWrite:
      return fmt::format("it was copied to or set, and no kernel or copy read it, for {}", time);
    case Pattern::kEarlyAllocation:
      return fmt::format("its first use came {} after its allocation, and after the peak", time);
    case Pattern::kLateDeallocation:
      return fmt::format("it was kept for {} after its last use, which was over before the peak",
                         time);
    default:
      return fmt::format("nothing used it for {}, in which the peak fell", time);
  }
}

const char* mend(Pattern pattern, bool workspace) {
  if (workspace) {
    return "a smaller workspace of cuBLAS would do here: CUBLAS_WORKSPACE_CONFIG=:16:8";
  }
  switch (pattern) {
    case Pattern::kUnused:
      return "do not allocate it";
    case Pattern::kDeadWrite:
      return "drop it together with the copy or set that fills it";
    case Pattern::kEarlyAllocation:
      return "allocate it where it is first used";
    case Pattern::kLateDeallocation:
      return "free it (in Python: delete the last reference) after its last use";
    default:
      return "free it and make it anew, or keep it on the host meanwhile";
  }
}

struct IdleGroup : Group {
  int64_t longest_ns = 0;
};
using Groups = std::map<std::tuple<Pattern, bool, std::string>, IdleGroup>;

Result<Groups> groups_at_peak(const Search& search, const UsageCurve& curve, const Judge& judge) {
  Groups groups;
  const trace::Reader& reader = search.reader;
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
      const auto idle = judge.judge(row, end);
      if (!idle) continue;
      const auto frames = reader.frames(row.alloc_stack);
      // What no argument shows: libraries hand buffers of communicators over in tables.
      const StackRole role = role_of_stack(frames);
      if (role.communication) continue;
      CodeLine line = code_line(frames);
      IdleGroup& group = groups[{idle->pattern, role.workspace, line.file + line.name}];
      group.line = std::move(line);
      group.add(row, idle->begin_ns, idle->end_ns, reader.end_ns());
      group.longest_ns = std::max(group.longest_ns, between(idle->begin_ns, idle->end_ns));
    }
  });
  if (!read) return tl::unexpected(read.error());
  return groups;
}

}  // namespace

Result<void> find_unneeded(const Search& search, const UsageCurve& curve, const UseIndex& uses,
                           std::vector<Finding>& findings) {
  const bool looked_at = curve.series.space == trace::Space::kDevice && curve.peak_bytes > 0;
  // A driver's block in which a pool lays its own is used through these.
  if (!looked_at || search.pool_inside(curve.series)) return {};
  Judge judge(search, curve, uses);
  if (auto looked = judge.look_beyond_peak(); !looked) return looked;
  const auto groups = groups_at_peak(search, curve, judge);
  if (!groups) return tl::unexpected(groups.error());
  for (const auto& [key, group] : *groups) {
    const auto& [pattern, workspace, where] = key;
    Finding finding = finding_of(pattern, curve, group);
    if (!lowers_peak(finding)) continue;
    finding.evidence = evidence(pattern, group.longest_ns);
    finding.mend = mend(pattern, workspace);
    findings.push_back(std::move(finding));
  }
  return {};
}

}  // namespace tidemark::analyzer
