#include "tidemark/analyzer/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <tuple>

#include "first_pass.h"
#include "report_parts.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

uint64_t loss_count(const Report& report, std::string_view name) {
  for (const trace::Loss& loss : report.losses) {
    if (loss.name == name) return loss.count;
  }
  return 0;
}

// What an error means for the rest of the report. Keys are names of losses, part of the trace.
struct LossMeaning {
  std::string_view loss;
  const char* remark;
};
constexpr LossMeaning kMeanings[] = {
    {"nothing_recorded",
     "nothing was recorded: the program did not load Tidemark's library (does it clear its "
     "environment, or use another C library?)"},
    {"static_binary",
     "the program is statically linked: its own memory could not be recorded, only that of dynamic "
     "programs that it started"},
    {"setuid_binary", "the program gains rights when it starts: the system lets nobody record it"},
    {"foreign_binary", "the program is not a 64-bit x86 one: it could not be recorded"},
    {"cupti_unavailable",
     "the GPU was not recorded: no CUPTI library was found, or it refused to serve"},
    {"cupti_subscriber_taken",
     "the GPU was not recorded where another tool (a profiler inside the program?) held CUPTI; "
     "switch it off and record again"},
    {"cupti_kept_from_program",
     "the program asked for CUPTI itself (torch.profiler does) and was refused, since one process "
     "can have it once: its own profile lacks the GPU; record with --device=off to leave it CUPTI"},
    {"cuda_injection_taken",
     "the GPU was not recorded: CUDA_INJECTION64_PATH named another tool, which was left alone"},
    {"cuda_used_after_fork",
     "the GPU was not recorded in forked children of processes that had used CUDA before"},
    {"jax_pool_not_split_up",
     "JAX takes device memory in large pieces and does not tell what lies in them: record with "
     "--pools=expose to see each buffer"},
    {"cupy_pool_not_split_up",
     "CuPy keeps freed arrays in a pool: what it took from the driver is seen, not which of it is "
     "in use; record with --pools=expose to see each array"},
    {"tensorflow_pool_not_split_up",
     "TensorFlow takes device memory in large pieces and does not tell what lies in them: record "
     "with --pools=expose to see each tensor"}};

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
      tree.push_back({*process, depth, signal_of(process->exit), threads[process->id], {}, {}});
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

// A recording that began in the middle: what it cannot know.
std::string attached_remark(const trace::Reader& reader, const Report& report) {
  std::string remark =
      "the process ran before it was recorded: what it had allocated until then is missing";
  uint64_t bytes = 0;
  const std::string known = reader.meta("attach_heap_in_use_bytes");
  std::from_chars(known.data(), known.data() + known.size(), bytes);
  if (bytes != 0) remark += fmt::format(" (about {} of its heap)", format_bytes(bytes));
  const uint64_t freed = loss_count(report, "frees_of_blocks_from_before_attach");
  if (freed != 0) remark += fmt::format("; {} such blocks were freed since", format_count(freed));
  return remark;
}

// A folder of traces that is read as one.
void add_joined_remarks(const trace::Reader& reader, Report& report) {
  const std::string traces = reader.meta("joined_traces");
  if (traces.empty()) return;
  const std::string hosts = reader.meta("joined_hosts");
  report.remarks.push_back(fmt::format(
      "{} traces of one job: {}; host memory is that of all of them together", traces,
      hosts == "1" ? "of one host, by its clock"
                   : fmt::format("of {} hosts, whose times are as far apart as their wall "
                                 "clocks were set",
                                 hosts)));
  if (const std::string devices = reader.meta("joined_devices"); !devices.empty()) {
    report.remarks.push_back("devices: " + devices);
  }
  if (const std::string without = reader.meta("joined_without_sums"); !without.empty()) {
    report.remarks.push_back(fmt::format(
        "{} of the traces hold sums of host memory (--host=aggregate, --max-size), which are left "
        "out here: look at each of them alone",
        without));
  }
}

void add_remarks(const trace::Reader& reader, Report& report) {
  add_joined_remarks(reader, report);
  if (!report.finished) {
    report.remarks.emplace_back(
        "this trace is unfinished: it is still being recorded, or its collector was killed; all "
        "that was written until then is here");
  }
  if (report.lost_data()) {
    report.remarks.emplace_back("something is missing in this trace: see 'losses' at the end");
  }
  for (const LossMeaning& meaning : kMeanings) {
    if (loss_count(report, meaning.loss) > 0) report.remarks.emplace_back(meaning.remark);
  }
  if (reader.meta("attached") == "1") {
    report.remarks.push_back(attached_remark(reader, report));
  }
  if (reader.meta("option_device") == "off") {
    report.remarks.emplace_back("the GPU was not recorded: --device=off");
  }
  if (reader.meta("option_device") == "memory") {
    report.remarks.emplace_back(
        "of the GPU only allocations were recorded, not what used them: --device=memory");
  }
  if (report.window) report.remarks.push_back(window_remark(*report.window));
  if (reader.meta("option_host") == "off") {
    report.remarks.emplace_back("host memory was not recorded: --host=off");
  }
  if (report.condensed) {
    report.remarks.push_back(
        fmt::format("to keep the trace small (--max-size), {}: totals and peaks are exact",
                    condensed_text(*report.condensed)));
  }
  if (reader.meta("option_host") == "aggregate") {
    report.remarks.emplace_back(
        "host memory was summed up while it was recorded (--host=aggregate): totals and peaks are "
        "exact, single allocations are not kept");
  }
  if (const std::string by = reader.meta("pools_exposed_by"); !by.empty()) {
    report.remarks.push_back(fmt::format(
        "recorded with --pools=expose ({}): JAX, TensorFlow and CuPy took each buffer from the "
        "driver; they ran slower than usual, and a pool would have held more than was in use",
        by));
  }
  if (reader.meta("option_stacks") == "none") {
    report.remarks.emplace_back("call stacks were not recorded: --stacks=none");
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
  report.condensed = condensed_of(reader);
  report.command =
      report.processes.empty() ? reader.meta("command") : report.processes.front().process.command;
  auto pass = first_pass(reader);
  if (!pass) return tl::unexpected(pass.error());
  if (auto added = add_series(reader, *pass, options, report); !added) {
    return tl::unexpected(added.error());
  }
  if (auto added = add_structure(reader, *pass, options, report); !added) {
    return tl::unexpected(added.error());
  }
  if (auto added = add_process_memory(reader, *pass, options, report); !added) {
    return tl::unexpected(added.error());
  }
  if (auto added = add_pools(reader, report); !added) return tl::unexpected(added.error());
  if (auto added = add_device_memory(reader, report); !added) return tl::unexpected(added.error());
  if (auto added = add_driver_memory(reader, report); !added) return tl::unexpected(added.error());
  if (auto added = add_power(reader, report); !added) return tl::unexpected(added.error());
  add_fits(report);
  if (auto added = add_device(reader, options, report); !added) {
    return tl::unexpected(added.error());
  }
  if (auto added = add_ranks(reader, report); !added) return tl::unexpected(added.error());
  if (auto added = add_window(reader, report); !added) return tl::unexpected(added.error());
  if (auto added = add_techniques(reader, options.advice, report); !added) {
    return tl::unexpected(added.error());
  }
  add_remarks(reader, report);
  return report;
}

}  // namespace tidemark::analyzer
