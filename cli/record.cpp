// tidemark record [options] -- COMMAND…: standard output belongs to the command; the summary goes
// to standard error when it has ended, and its exit status or fatal signal becomes this program's.
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>

#include "commands.h"
#include "console.h"
#include "install.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"
#include "tidemark/analyzer/usage.h"
#include "tidemark/collector/recorder.h"

namespace tidemark::cli {
namespace {

using collector::RecordOptions;
using collector::RecordSummary;

const std::map<std::string, RecordOptions::Host> kHosts = {
    {"full", RecordOptions::Host::kFull},
    {"aggregate", RecordOptions::Host::kAggregate},
    {"off", RecordOptions::Host::kOff}};
const std::map<std::string, RecordOptions::Device> kDevices = {
    {"auto", RecordOptions::Device::kAuto},
    {"memory", RecordOptions::Device::kMemory},
    {"off", RecordOptions::Device::kOff}};
const std::map<std::string, bool> kAccess = {{"on", true}, {"off", false}};
const std::map<std::string, bool> kFreeStacks = {{"on", true}, {"off", false}};
const std::map<std::string, RecordOptions::Stacks> kStacks = {
    {"all", RecordOptions::Stacks::kAll},
    {"native", RecordOptions::Stacks::kNative},
    {"none", RecordOptions::Stacks::kNone}};
const std::map<std::string, RecordOptions::OnFull> kOnFull = {
    {"wait", RecordOptions::OnFull::kWait}, {"drop", RecordOptions::OnFull::kDrop}};
const std::map<std::string, RecordOptions::Pools> kPools = {
    {"as-they-are", RecordOptions::Pools::kAsTheyAre}, {"expose", RecordOptions::Pools::kExpose}};

struct RecordWords {
  int32_t pid = 0;
  std::string output;
  std::string host = "full";
  std::string max_size;
  std::string device = "auto";
  std::string access = "on";
  std::string stacks = "all";
  std::string free_stacks = "on";
  std::string on_full = "wait";
  std::string window;
  std::string pools = "as-they-are";
};

void say(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

// "heap host 1.23 GiB", one for each series; read back from the trace, so that the summary says
// what every later command will say.
Result<std::string> peaks(const trace::Reader& reader) {
  const auto curves = analyzer::usage_peaks(reader);
  if (!curves) return tl::unexpected(curves.error());
  analyzer::TextTable table({{"peak", analyzer::TextTable::Align::kRight},
                             {"layer and space"},
                             {"reached at", analyzer::TextTable::Align::kRight}});
  for (const analyzer::UsageCurve& curve : *curves) {
    table.add({analyzer::format_bytes(static_cast<uint64_t>(curve.peak_bytes)),
               analyzer::series_text(curve.series), analyzer::format_ns(curve.peak_ns)});
  }
  return table.empty() ? "" : table.text();
}

std::string condensed(const trace::Reader& reader) {
  const auto condensed = analyzer::condensed_of(reader);
  if (!condensed) return "";
  return fmt::format("  --max-size: {}; totals and peaks are exact\n",
                     analyzer::condensed_text(*condensed));
}

// What the writer of the trace counted by itself.
void add_missing(const std::vector<trace::Loss>& losses, std::vector<trace::Loss>& all) {
  for (const trace::Loss& loss : losses) {
    const bool known = std::any_of(
        all.begin(), all.end(), [&](const trace::Loss& other) { return other.name == loss.name; });
    if (!known) all.push_back(loss);
  }
}

std::string losses(std::vector<trace::Loss> all) {
  std::erase_if(all, [](const trace::Loss& loss) { return loss.count == 0; });
  std::stable_sort(all.begin(), all.end(), [](const trace::Loss& a, const trace::Loss& b) {
    return a.severity > b.severity;
  });
  std::string out;
  for (const trace::Loss& loss : all) {
    out += fmt::format("  loss ({}): {} {}\n", trace::to_string(loss.severity),
                       analyzer::format_count(loss.count), loss.name);
  }
  return out;
}

std::string counts(const collector::EventCounts& events) {
  std::vector<std::string> parts;
  const auto add = [&](uint64_t count, const char* what) {
    if (count > 0) parts.push_back(fmt::format("{} {}", analyzer::format_count(count), what));
  };
  add(events.host_allocations + events.mappings + events.driver_allocations +
          events.pool_allocations,
      "allocations");
  add(events.host_frees + events.unmappings + events.driver_frees + events.pool_frees, "frees");
  add(events.transfers, "copies");
  add(events.memsets, "sets");
  add(events.kernels, "kernels");
  add(events.accesses, "accesses");
  add(events.markers, "markers");
  add(events.migrations, "migrations");
  add(events.imports, "imports");
  add(events.out_of_memory, "out-of-memory events");
  return fmt::format("{}", fmt::join(parts, " · "));
}

void print_summary(const RecordSummary& summary) {
  const std::string output = analyzer::printable(summary.output);
  std::string out =
      fmt::format("tidemark: {} ({}), {}, processes: {}, threads: {}\n", output,
                  analyzer::format_bytes(summary.trace_bytes),
                  analyzer::format_ns(summary.duration_ns), summary.processes, summary.threads);
  if (const std::string events = counts(summary.events); !events.empty()) {
    out += "  " + events + "\n";
  }
  std::vector<trace::Loss> all = summary.losses;
  const auto reader = trace::Reader::open(summary.output);
  const auto table = reader ? peaks(**reader) : tl::unexpected(reader.error());
  out += table ? *table : "  " + table.error().message + "\n";
  if (reader) {
    out += condensed(**reader);
    add_missing((*reader)->losses(), all);
  }
  out += losses(std::move(all));
  if (summary.write_error) {
    out += fmt::format("tidemark: {}\n", analyzer::printable(*summary.write_error));
  }
  say(out + fmt::format("  next: tidemark report {}\n", output));
}

// Ends this program the way its command ended, so that a shell or a scheduler sees the same.
[[noreturn]] void die_by(int signal) {
  const rlimit none{0, 0};  // the command has left a core file, if any; this one would hide it
  setrlimit(RLIMIT_CORE, &none);
  std::fflush(nullptr);
  std::signal(signal, SIG_DFL);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, signal);
  sigprocmask(SIG_UNBLOCK, &mask, nullptr);
  raise(signal);
  _exit(128 + signal);  // a signal that does not kill
}

void show_progress(uint64_t done, uint64_t total) {
  say(fmt::format("\rtidemark: symbols {}/{}{}", done, total, done == total ? "\r\x1b[K" : ""));
}

// Chunks are buffers of a few megabytes that come and go: memory that is given back to the system
// each time costs as much again as what is done with it.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 256 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

Result<int64_t> parse_max_size(const std::string& text) {
  const auto bytes = analyzer::parse_size(text);
  if (!bytes) return fail("record: --max-size: " + bytes.error().message);
  if (*bytes < collector::kLeastMaxBytes) {
    return fail(fmt::format("record: --max-size: {} is too small for a trace; give it {} at least",
                            text, analyzer::format_bytes(collector::kLeastMaxBytes)));
  }
  return static_cast<int64_t>(*bytes);
}

int record(const RecordWords& words, const std::vector<std::string>& command) {
  if (words.pid != 0 && !command.empty()) {
    return complain("record: --pid records a process that runs already: leave the command out");
  }
  if (command.empty() && words.pid == 0) {
    return complain(
        "record: no command to record; put it behind --, as in: tidemark record -- python3 "
        "train.py");
  }
  if (words.pid != 0 && kPools.at(words.pools) == RecordOptions::Pools::kExpose) {
    return complain(
        "record: --pools=expose is too late for a process that runs already (--pid): frameworks "
        "read it at their start");
  }
  if (words.pid != 0 && !words.window.empty()) {
    return complain(
        "record: --window is for what a GPU does, which cannot be recorded of a process that runs "
        "already (--pid)");
  }
  if (kDevices.at(words.device) != RecordOptions::Device::kAuto && !words.window.empty()) {
    return complain(
        "record: --window is for kernels, copies, sets and accesses, none of which --device=" +
        words.device + " records: leave one of the two out");
  }
  keep_freed_memory();
  RecordOptions options;
  options.command = command;
  options.pid = words.pid;
  options.output = words.output;
  options.library_dir = library_dir();
  options.host = kHosts.at(words.host);
  if (!words.max_size.empty()) {
    const auto bytes = parse_max_size(words.max_size);
    if (!bytes) return complain(bytes.error().message);
    options.max_bytes = *bytes;
  }
  if (!words.window.empty()) {
    auto window = collector::parse_window(words.window);
    if (!window) return complain("record: --window: " + window.error().message);
    options.window = std::move(*window);
    options.window_text = words.window;
  }
  options.device = kDevices.at(words.device);
  options.access = kAccess.at(words.access);
  options.stacks = kStacks.at(words.stacks);
  options.free_stacks = kFreeStacks.at(words.free_stacks);
  options.on_full = kOnFull.at(words.on_full);
  options.pools = kPools.at(words.pools);
  options.notice = [](const std::string& line) { complain(line); };
  if (isatty(STDERR_FILENO) != 0) options.progress = show_progress;
  const auto summary = collector::record(options);
  if (!summary) return complain(summary.error().message, summary.error().exit_code);
  print_summary(*summary);
  if (summary->exit.signal != 0) die_by(summary->exit.signal);
  return summary->exit.code;
}

// The parser does not see the command, so its own line of usage would leave it out.
class RecordHelp : public CLI::Formatter {
 public:
  RecordHelp() { column_width(28); }
  std::string make_usage(const CLI::App* /*app*/, std::string name) const override {
    return fmt::format("Usage: {0} [OPTIONS] -- COMMAND...\n       {0} [OPTIONS] --pid PID\n",
                       name);
  }
};

template <class Value>
std::vector<std::string> names(const std::map<std::string, Value>& values) {
  std::vector<std::string> result;
  result.reserve(values.size());
  for (const auto& [name, value] : values) result.push_back(name);
  return result;
}

}  // namespace

void add_record(CLI::App& app, const std::vector<std::string>& command, int& status) {
  const auto words = std::make_shared<RecordWords>();
  CLI::App* record_app = app.add_subcommand(
      "record", "Run a command and write down every allocation, copy and kernel");
  record_app->formatter(std::make_shared<RecordHelp>());
  record_app->add_option("-o,--output", words->output,
                         "The trace; without it tidemark.<program>.<pid>.db here");
  record_app
      ->add_option("--pid", words->pid,
                   "Attach to a running process: records from now on until it ends or Ctrl-C")
      ->type_name("PID")
      ->check(CLI::PositiveNumber);
  const auto add = [&](const char* name, std::string& word, const char* what, const auto& values) {
    record_app->add_option(name, word, what)
        ->check(CLI::IsMember(names(values)))
        ->capture_default_str();
  };
  add("--host", words->host,
      "Heap and mappings: each allocation, exact totals by stack and over time, or nothing",
      kHosts);
  record_app
      ->add_option("--max-size", words->max_size,
                   "Keep the trace below SIZE (2GiB, 500MB): the oldest allocations are summed up, "
                   "totals and peaks stay exact")
      ->type_name("SIZE");
  add("--device", words->device,
      "The GPU, where there is one: all, allocations alone (a launch is then left alone), or "
      "nothing",
      kDevices);
  add("--access", words->access, "Which kernel is handed which block, by its arguments", kAccess);
  record_app
      ->add_option(
          "--window", words->window,
          "Keep kernels, copies, sets and accesses only of a time (10s:30s), of PyTorch's "
          "iterations "
          "(iterations:10:20, from the 10th until the 20th begins), while an NVTX range is open "
          "(nvtx:NAME), or between two SIGUSR1 to the recorder (signal); allocations are kept "
          "always")
      ->type_name("WHEN");
  add("--stacks", words->stacks, "Call stacks: Python and native, native only, or none", kStacks);
  add("--free-stacks", words->free_stacks,
      "Who freed each block of the heap: up to a third of what recording it costs", kFreeStacks);
  add("--on-full", words->on_full,
      "When events come too fast: let the program wait, or count a loss", kOnFull);
  add("--pools", words->pools,
      "Device memory of JAX, TensorFlow and CuPy: as their pools take it, or each buffer by "
      "itself, "
      "from the driver: slower, and without what pooling costs and saves. PyTorch needs no such "
      "thing",
      kPools);
  record_app->footer(
      "The command keeps its input, output, signals and exit status.\n\n"
      "Examples:\n  tidemark record -o train.db -- python3 train.py --epochs 1\n"
      "  tidemark record -o serving.db --pid 4711");
  record_app->callback([words, &command, &status] { status = record(*words, command); });
}

}  // namespace tidemark::cli
