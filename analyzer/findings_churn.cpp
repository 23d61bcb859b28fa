// Host blocks that were freed before the thread that allocated them allocated again: a buffer that
// is kept would do.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "findings_parts.h"
#include "heap_churn.h"
#include "tidemark/analyzer/stack_view.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

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

Result<ChurnPass> ChurnPass::begin(const trace::Reader& reader) {
  ChurnPass pass;
  const auto totals = reader.host_totals();
  if (!totals) return tl::unexpected(totals.error());
  for (const trace::HostTotal& total : *totals) {
    if (total.layer != trace::Layer::kHeap) continue;
    pass.churn_.allocations += total.allocations;
    if (total.temporary == 0) continue;
    HeapChurn::Sum& sum = pass.churn_.stacks[static_cast<int64_t>(total.stack)];
    sum.count += total.temporary;
    sum.bytes += total.allocated_bytes / total.allocations * total.temporary;
  }
  pass.by_rows_ = totals->empty();
  return pass;
}

void ChurnPass::add(std::span<const trace::Allocation> batch) {
  if (!by_rows_) return;
  for (const trace::Allocation& row : batch) {
    if (row.layer != trace::Layer::kHeap) continue;
    ++churn_.allocations;
    if (thread_ == nullptr || row.thread != thread_id_) {
      thread_ = &last_[static_cast<int32_t>(row.thread)];
      thread_id_ = row.thread;
    }
    Last& before = *thread_;
    if (before.free_ns <= row.alloc_ns) {
      HeapChurn::Sum& sum = churn_.stacks[static_cast<int64_t>(before.stack)];
      ++sum.count;
      sum.bytes += before.size;
    }
    before = {row.free_ns, row.size, row.alloc_stack};
  }
}

Result<HeapChurn> heap_churn(const trace::Reader& reader) {
  auto pass = ChurnPass::begin(reader);
  if (!pass) return tl::unexpected(pass.error());
  if (pass->by_rows()) {
    trace::AllocationFilter filter;
    filter.layer = trace::Layer::kHeap;
    auto read = reader.allocations(
        filter, [&](std::span<const trace::Allocation> batch) { pass->add(batch); });
    if (!read) return tl::unexpected(read.error());
  }
  return pass->take();
}

Result<void> find_churn(const Search& search, const HeapChurn& churn,
                        std::vector<Finding>& findings) {
  constexpr uint64_t many = 100'000;
  constexpr uint64_t share = 10;
  std::map<std::string, Group> lines;
  for (const auto& [stack, sum] : churn.stacks) {
    if (sum.count * kLeastShare < many) continue;
    const auto frames = search.reader.frames(trace::StackId{stack});
    if (!blamed(frames)) continue;
    CodeLine line = code_line(frames);
    Group& group = lines[line.file + line.name];
    group.line = std::move(line);
    group.bytes += sum.bytes;
    group.count += sum.count;
  }
  for (const auto& [where, group] : lines) {
    if (group.count < many || group.count * share < churn.allocations) continue;
    Finding finding;
    finding.pattern = Pattern::kChurn;
    finding.series = {trace::Layer::kHeap, trace::Space::kHost, trace::kNoDevice};
    finding.bytes = group.bytes;
    finding.count = group.count;
    set_place(finding, group.line);
    finding.evidence = fmt::format(
        "each was freed before its thread allocated again: {} of the program's {} "
        "allocations, {} on average",
        format_share(group.count, churn.allocations), format_count(churn.allocations),
        format_bytes(group.bytes / group.count));
    finding.mend = "keep one buffer outside the loop, or take it from the stack";
    findings.push_back(std::move(finding));
  }
  return {};
}

}  // namespace tidemark::analyzer
