// tidemark record [options] -- COMMAND…
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>

#include "commands.h"
#include "console.h"
#include "tidemark/analyzer/units.h"
#include "tidemark/analyzer/usage.h"
#include "tidemark/collector/recorder.h"

namespace tidemark::cli {
namespace {

using collector::RecordOptions;
using collector::RecordSummary;

constexpr size_t kMostLosses = 8;

void say(const std::string& line) { fmt::print(stderr, "tidemark: {}\n", line); }

// bin/tidemark and lib/tidemark/ keep their places, in a build folder as in a package.
std::string library_folder() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {};
  return self.parent_path().parent_path() / "lib" / "tidemark";
}

void show_progress(uint64_t done, uint64_t total) {
  if (total == 0) return;
  fmt::print(stderr, "\rtidemark: reading symbols {:3} %{}", done * 100 / total,
             done == total ? "\r\033[K" : "");
  std::fflush(stderr);
}

std::string event_line(const collector::EventCounts& events) {
  std::string line;
  const auto add = [&line](uint64_t count, const char* what) {
    if (count == 0) return;
    fmt::format_to(std::back_inserter(line), "{}{} {}", line.empty() ? "" : ", ",
                   analyzer::format_count(count), what);
  };
  add(events.host_allocations, "heap allocations");
  add(events.mappings, "mappings");
  add(events.driver_allocations, "CUDA allocations");
  add(events.pool_allocations, "pool blocks");
  add(events.transfers, "copies");
  add(events.memsets, "sets");
  add(events.kernels, "kernels");
  return line.empty() ? "no events" : line;
}

// The peaks, as every other command computes them: from the trace.
void say_peaks(const std::string& path) {
  const auto reader = trace::Reader::open(path);
  if (!reader) {
    say(reader.error().message);
    return;
  }
  const auto curves = analyzer::usage_curves(**reader);
  if (!curves) {
    say(curves.error().message);
    return;
  }
  for (const analyzer::UsageCurve& curve : *curves) {
    say(fmt::format("  peak {:<18} {:>11} at {}", analyzer::series_text(curve.series),
                    analyzer::format_bytes(static_cast<uint64_t>(curve.peak_bytes)),
                    analyzer::format_ns(curve.peak_ns)));
  }
}

void say_losses(const std::vector<trace::Loss>& losses) {
  std::vector<trace::Loss> worst;
  std::copy_if(losses.begin(), losses.end(), std::back_inserter(worst), [](const auto& loss) {
    return loss.count != 0 && loss.severity != trace::Severity::kInfo;
  });
  std::stable_sort(worst.begin(), worst.end(),
                   [](const auto& a, const auto& b) { return a.severity > b.severity; });
  for (size_t i = 0; i < std::min(worst.size(), kMostLosses); ++i) {
    say(fmt::format("  {}: {} × {}", trace::to_string(worst[i].severity),
                    analyzer::format_count(worst[i].count), worst[i].name));
  }
  if (worst.size() > kMostLosses) say(fmt::format("  … {} more", worst.size() - kMostLosses));
}

void say_summary(const RecordSummary& summary) {
  say(fmt::format(
      "{} ({}): {} in {}, {} process{}, {}", summary.output,
      analyzer::format_bytes(summary.trace_bytes), event_line(summary.events),
      analyzer::format_ns(summary.duration_ns), summary.processes,
      summary.processes == 1 ? "" : "es",
      summary.losses.empty() || std::all_of(summary.losses.begin(), summary.losses.end(),
                                            [](const auto& loss) {
                                              return loss.count == 0 ||
                                                     loss.severity == trace::Severity::kInfo;
                                            })
          ? "nothing lost"
          : "with losses"));
  say_peaks(summary.output);
  say_losses(summary.losses);
  if (summary.write_error) say(*summary.write_error);
  say(fmt::format("next: tidemark report {}", summary.output));
}

int run_recorder(RecordOptions options) {
  if (options.command.empty()) {
    return complain(
        "record: no command was given; it comes after '--': tidemark record -- python3 train.py");
  }
  options.library_dir = library_folder();
  options.notice = say;
  if (isatty(STDERR_FILENO) != 0) options.progress = show_progress;
  const auto summary = collector::record(options);
  if (!summary) return complain(summary.error().message, summary.error().exit_code);
  say_summary(*summary);
  if (summary->exit.signal != 0) {
    // Ends as the command did, so that a shell or a scheduler sees the same.
    std::signal(summary->exit.signal, SIG_DFL);
    std::raise(summary->exit.signal);
  }
  return summary->exit.code;
}

}  // namespace

void add_record(CLI::App& app, int& status, const std::vector<std::string>& program) {
  const auto options = std::make_shared<RecordOptions>();
  options->command = program;
  CLI::App* command = app.add_subcommand(
      "record", "Run a command and record every allocation, copy and kernel into a trace");
  command->add_option("-o,--output", options->output,
                      "The trace (default: tidemark.<program>.<pid>.db)");
  const std::map<std::string, RecordOptions::Host> host = {{"full", RecordOptions::Host::kFull},
                                                           {"off", RecordOptions::Host::kOff}};
  const std::map<std::string, RecordOptions::Device> device = {
      {"auto", RecordOptions::Device::kAuto}, {"off", RecordOptions::Device::kOff}};
  const std::map<std::string, RecordOptions::Stacks> stacks = {
      {"all", RecordOptions::Stacks::kAll},
      {"native", RecordOptions::Stacks::kNative},
      {"none", RecordOptions::Stacks::kNone}};
  const std::map<std::string, RecordOptions::OnFull> on_full = {
      {"wait", RecordOptions::OnFull::kWait}, {"drop", RecordOptions::OnFull::kDrop}};
  const auto choice = [command](const char* name, auto& value, const auto& choices,
                                const char* text) {
    command->add_option(name, value, text)->transform(CLI::Transformer(choices))->type_name("");
  };
  choice("--host", options->host, host, "full|off: malloc, new, mmap (default: full)");
  choice("--device", options->device, device, "auto|off: CUDA through CUPTI (default: auto)");
  choice("--stacks", options->stacks, stacks, "all|native|none: call stacks (default: all)");
  choice("--on-full", options->on_full, on_full,
         "wait|drop: when the recorder falls behind (default: wait)");
  command->footer("Example:\n  tidemark record -o train.db -- python3 train.py --epochs 1");
  command->callback([options, &status] { status = run_recorder(*options); });
}

}  // namespace tidemark::cli
