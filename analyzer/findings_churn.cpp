// Host blocks that were freed before the thread that allocated them allocated again: a buffer that
// is kept would do.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "findings_parts.h"
#include "tidemark/analyzer/stack_view.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

struct Churn {
  uint64_t count = 0;
  uint64_t bytes = 0;
};
using ChurnOfStacks = std::unordered_map<int64_t, Churn>;

struct Counted {
  ChurnOfStacks stacks;
  uint64_t allocations = 0;
};

// By rows; of what was summed up while recording, by these sums.
Result<Counted> count(const trace::Reader& reader) {
  Counted counted;
  const auto totals = reader.host_totals();
  if (!totals) return tl::unexpected(totals.error());
  for (const trace::HostTotal& total : *totals) {
    if (total.layer != trace::Layer::kHeap) continue;
    counted.allocations += total.allocations;
    if (total.temporary == 0) continue;
    Churn& churn = counted.stacks[static_cast<int64_t>(total.stack)];
    churn.count += total.temporary;
    churn.bytes += total.allocated_bytes / total.allocations * total.temporary;
  }
  if (!totals->empty()) return counted;
  std::unordered_map<int32_t, trace::Allocation> last;  // of each thread
  trace::AllocationFilter filter;
  filter.layer = trace::Layer::kHeap;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      ++counted.allocations;
      const auto [before, fresh] = last.try_emplace(static_cast<int32_t>(row.thread), row);
      if (fresh) continue;
      if (before->second.free_ns <= row.alloc_ns) {
        Churn& churn = counted.stacks[static_cast<int64_t>(before->second.alloc_stack)];
        ++churn.count;
        churn.bytes += before->second.size;
      }
      before->second = row;
    }
  });
  if (!read) return tl::unexpected(read.error());
  return counted;
}

// The program's own line, by itself: an interpreter's objects come and go by their nature.
bool blamed(std::span<const trace::Frame> frames) {
  for (const trace::Frame& frame : frames) {
    const FrameRole role = role_of(frame);
    if (role == FrameRole::kInternal) continue;
    return role == FrameRole::kUser && frame.kind == trace::FrameKind::kNative &&
           !frame.file.empty();
  }
  return false;
}

}  // namespace

Result<void> find_churn(const Search& search, std::vector<Finding>& findings) {
  constexpr uint64_t many = 100'000;
  constexpr uint64_t share = 10;
  const auto counted = count(search.reader);
  if (!counted) return tl::unexpected(counted.error());
  std::map<std::string, Group> lines;
  for (const auto& [stack, churn] : counted->stacks) {
    if (churn.count * kLeastShare < many) continue;
    const auto frames = search.reader.frames(trace::StackId{stack});
    if (!blamed(frames)) continue;
    CodeLine line = code_line(frames);
    Group& group = lines[line.file + line.name];
    group.line = std::move(line);
    group.bytes += churn.bytes;
    group.count += churn.count;
  }
  for (const auto& [where, group] : lines) {
    if (group.count < many || group.count * share < counted->allocations) continue;
    Finding finding;
    finding.pattern = Pattern::kChurn;
    finding.series = {trace::Layer::kHeap, trace::Space::kHost, trace::kNoDevice};
    finding.bytes = group.bytes;
    finding.count = group.count;
    set_place(finding, group.line);
    finding.evidence = fmt::format(
        "each was freed before its thread allocated again: {} of the program's {} "
        "allocations, {} on average",
        format_share(group.count, counted->allocations), format_count(counted->allocations),
        format_bytes(group.bytes / group.count));
    finding.mend = "keep one buffer outside the loop, or take it from the stack";
    findings.push_back(std::move(finding));
  }
  return {};
}

}  // namespace tidemark::analyzer
