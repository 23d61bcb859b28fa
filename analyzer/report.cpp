#include "tidemark/analyzer/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "lifetimes.h"
#include "report_parts.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

constexpr int32_t kUnknownExit = std::numeric_limits<int32_t>::min();

uint64_t loss_count(const Report& report, std::string_view name) {
  for (const trace::Loss& loss : report.losses) {
    if (loss.name == name) return loss.count;
  }
  return 0;
}

// Why nothing of a device is in the trace; "" when there is nothing to say.
std::string why_no_device(const trace::Reader& reader, const Report& report) {
  if (loss_count(report, "cupti_unavailable") > 0) {
    return "the GPU was not recorded: no CUPTI library was found, or it refused; see 'losses'";
  }
  if (loss_count(report, "cupti_subscriber_taken") > 0) {
    return "the GPU was not recorded: another tool (a profiler inside the program?) held CUPTI; "
           "switch it off and record again";
  }
  if (loss_count(report, "cuda_used_after_fork") > 0) {
    return "the GPU was not recorded: CUDA was used in a forked child of a process that had used "
           "it before";
  }
  if (reader.meta("option.device") == "off") return "the GPU was not recorded: --device=off";
  return "";
}

std::vector<trace::Loss> worst_first(const trace::Reader& reader) {
  std::vector<trace::Loss> losses;
  for (const trace::Loss& loss : reader.losses()) {
    if (loss.count > 0) losses.push_back(loss);
  }
  std::sort(losses.begin(), losses.end(), [](const trace::Loss& a, const trace::Loss& b) {
    return std::tie(b.severity, b.count, a.name) < std::tie(a.severity, a.count, b.name);
  });
  return losses;
}

}  // namespace

uint64_t Report::allocations() const {
  uint64_t sum = 0;
  for (const SeriesReport& line : series) sum += line.allocations;
  return sum;
}

uint64_t Report::frees() const {
  uint64_t sum = 0;
  for (const SeriesReport& line : series) sum += line.frees;
  return sum;
}

bool Report::has_device() const {
  const bool memory = std::any_of(series.begin(), series.end(), [](const SeriesReport& line) {
    return line.series.layer == trace::Layer::kDriver || line.series.layer == trace::Layer::kPool;
  });
  return memory || !transfers.empty() || memsets || kernels || !pools.empty();
}

bool Report::lost_data() const {
  return std::any_of(losses.begin(), losses.end(), [](const trace::Loss& loss) {
    return loss.severity != trace::Severity::kInfo;
  });
}

// A trace is untrusted: parents may be missing, or form a circle. Every process comes exactly once.
std::vector<ProcessLine> process_tree(const trace::Reader& reader) {
  std::map<trace::ProcessId, uint64_t> threads;
  for (const trace::Thread& thread : reader.threads()) ++threads[thread.process];
  std::vector<const trace::Process*> processes;
  std::set<trace::ProcessId> known;
  for (const trace::Process& process : reader.processes()) {
    processes.push_back(&process);
    known.insert(process.id);
  }
  const auto earlier = [](const trace::Process* a, const trace::Process* b) {
    return std::tie(a->start_ns, a->id) < std::tie(b->start_ns, b->id);
  };
  std::sort(processes.begin(), processes.end(), earlier);
  std::map<trace::ProcessId, std::vector<const trace::Process*>> children;
  for (const trace::Process* process : processes) children[process->parent].push_back(process);

  std::vector<ProcessLine> tree;
  std::set<const trace::Process*> done;
  const auto add_from = [&](const trace::Process* root) {
    std::vector<std::pair<const trace::Process*, size_t>> pending = {{root, 0}};
    while (!pending.empty()) {
      const auto [process, depth] = pending.back();
      pending.pop_back();
      if (!done.insert(process).second) continue;
      tree.push_back({*process, depth, signal_of(process->exit), threads[process->id]});
      const auto& below = children[process->id];
      for (auto child = below.rbegin(); child != below.rend(); ++child) {
        pending.emplace_back(*child, depth + 1);
      }
    }
  };
  for (const trace::Process* process : processes) {
    if (!known.contains(process->parent)) add_from(process);
  }
  for (const trace::Process* process : processes) {
    if (!done.contains(process)) add_from(process);
  }
  return tree;
}

void add_remarks(const trace::Reader& reader, Report& report) {
  if (!report.finished) {
    report.remarks.emplace_back(
        "this trace is unfinished: it is still being recorded, or its collector was killed; all "
        "that was written until then is here");
  }
  if (report.lost_data()) {
    report.remarks.emplace_back("something is missing in this trace: see 'losses' at the end");
  }
  if (!report.has_device()) {
    if (std::string why = why_no_device(reader, report); !why.empty()) {
      report.remarks.push_back(std::move(why));
    }
  }
  if (reader.meta("option.host") == "off") {
    report.remarks.emplace_back("host memory was not recorded: --host=off");
  }
  const auto unseen =
      std::count_if(report.processes.begin(), report.processes.end(), [](const ProcessLine& line) {
        return line.process.end_ns != trace::kNever && line.process.exit == kUnknownExit;
      });
  if (unseen > 0 && report.processes.size() > 1) {
    report.remarks.push_back(
        fmt::format("how {} of {} processes ended is not known: what they still held is not "
                    "counted as leaked",
                    unseen, report.processes.size()));
  }
}

Result<Report> build_report(const trace::Reader& reader, const ReportOptions& options) {
  Report report;
  report.path = reader.path();
  report.span_ns = reader.end_ns();
  report.finished = reader.finished();
  report.processes = process_tree(reader);
  report.threads = reader.threads().size();
  report.losses = worst_first(reader);
  report.command =
      report.processes.empty() ? reader.meta("command") : report.processes.front().process.command;
  if (auto added = add_series(reader, options, report); !added) {
    return tl::unexpected(added.error());
  }
  if (auto added = add_pools(reader, report); !added) return tl::unexpected(added.error());
  if (auto added = add_device(reader, options, report); !added) {
    return tl::unexpected(added.error());
  }
  add_remarks(reader, report);
  return report;
}

}  // namespace tidemark::analyzer
