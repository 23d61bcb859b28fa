#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "render_parts.h"
#include "tidemark/analyzer/render.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

using Align = TextTable::Align;

constexpr size_t kProcessLines = 20;
constexpr size_t kApiNames = 4;
constexpr size_t kLeakedStacks = 4;

std::string headline(const Report& report) {
  std::string title = printable(report.path);
  if (!report.command.empty()) title += ": " + printable(report.command);
  std::string out = fit(title, kColumns);
  out += fmt::format("\n{} · {} · {} · {} · {}\n", format_ns(report.span_ns),
                     plural(report.processes.size(), "process", "processes"),
                     plural(report.threads, "thread", "threads"),
                     plural(report.allocations(), "allocation", "allocations"),
                     plural(report.frees(), "free", "frees"));
  for (const std::string& remark : report.remarks) out += wrapped("! ", printable(remark));
  return out;
}

std::string processes(const Report& report) {
  if (report.processes.empty()) return "";
  TextTable table({{"pid", Align::kRight},
                   {"command"},
                   {"started", Align::kRight},
                   {"ran", Align::kRight},
                   {"threads", Align::kRight}});
  const bool rss = any_resident(report);
  if (rss) table.add_column({"peak RSS", Align::kRight});
  table.add_column({"ended"});
  const size_t shown = std::min(report.processes.size(), kProcessLines);
  constexpr size_t deepest = 8;
  constexpr size_t command_width = 40;
  for (size_t i = 0; i < shown; ++i) {
    const ProcessLine& line = report.processes[i];
    const int64_t end_ns =
        line.process.end_ns == trace::kNever ? report.span_ns : line.process.end_ns;
    std::string command(2 * std::min(line.depth, deepest), ' ');
    command += printable(line.process.command);
    if (line.process.rank >= 0) command += fmt::format(" (rank {})", line.process.rank);
    std::vector<std::string> cells = {
        std::to_string(line.process.pid), fit(command, command_width),
        format_ns(line.process.start_ns),
        format_ns(static_cast<int64_t>(static_cast<uint64_t>(end_ns) -
                                       static_cast<uint64_t>(line.process.start_ns))),
        format_count(line.threads)};
    if (rss) cells.push_back(peak_rss_text(line));
    cells.push_back(exit_text(line));
    table.add(std::move(cells));
  }
  std::string out = "\nProcesses\n" + table.text();
  if (shown < report.processes.size()) {
    out += fmt::format("  … {} more: tidemark sql FILE 'select * from process'\n",
                       format_count(report.processes.size() - shown));
  }
  return out;
}

std::string memory(const Report& report) {
  if (report.series.empty()) return "\nMemory: no allocation was recorded\n";
  TextTable table({{"layer"},
                   {"space"},
                   {"peak", Align::kRight},
                   {"reached at", Align::kRight},
                   {"allocations", Align::kRight},
                   {"in total", Align::kRight},
                   {"never freed", Align::kRight},
                   {"blocks", Align::kRight}});
  for (const SeriesReport& line : report.series) {
    table.add({trace::to_string(line.series.layer), space_text(line.series),
               bytes_text(line.peak_bytes), format_ns(line.peak_ns), format_count(line.allocations),
               format_bytes(line.allocated_bytes), format_bytes(line.unfreed_bytes),
               format_count(line.unfreed_count)});
  }
  return "\nMemory by layer and space (layers hold each other: do not add them up)\n" +
         table.text();
}

std::string apis(const Report& report) {
  TextTable table({{"layer"}, {"space"}, {"calls"}});
  for (const SeriesReport& line : report.series) {
    std::string calls;
    for (size_t i = 0; i < std::min(kApiNames, line.apis.size()); ++i) {
      if (i > 0) calls += ", ";
      calls +=
          fmt::format("{} {}", format_count(line.apis[i].allocations), printable(line.apis[i].api));
    }
    if (line.apis.size() > kApiNames) {
      calls += fmt::format(", {} more kinds", line.apis.size() - kApiNames);
    }
    table.add(
        {trace::to_string(line.series.layer), space_text(line.series), fit(calls, kColumns - 24)});
  }
  return table.empty() ? "" : "\nAllocations by kind of call\n" + table.text();
}

// Sections go from the layer that a training run dies of (the framework's pool) outwards.
std::string at_peaks(const Report& report) {
  std::string out;
  for (auto at = report.series.rbegin(); at != report.series.rend(); ++at) {
    const SeriesReport& line = *at;
    if (line.at_peak.top.empty()) continue;
    out += fmt::format("\nLive at the peak of {}: {} in {}, at {}\n", series_text(line.series),
                       bytes_text(line.peak_bytes), plural(line.at_peak.count, "block", "blocks"),
                       format_ns(line.peak_ns));
    out += shares(line.at_peak, line.at_peak.top.size());
  }
  return out;
}

std::string leaked(const Report& report) {
  std::string out;
  for (auto at = report.series.rbegin(); at != report.series.rend(); ++at) {
    const SeriesReport& line = *at;
    if (line.leaked.count == 0) continue;
    out += fmt::format("\nLeaked, {}: {} in {} still held when their process ended\n",
                       series_text(line.series), format_bytes(line.leaked.bytes),
                       plural(line.leaked.count, "block", "blocks"));
    out += shares(line.leaked, kLeakedStacks);
  }
  return out;
}

std::string pools(const Report& report) {
  if (report.pools.empty()) return "";
  TextTable table({{"device"},
                   {"peak allocated", Align::kRight},
                   {"at", Align::kRight},
                   {"peak reserved", Align::kRight},
                   {"at", Align::kRight},
                   {"unused of it", Align::kRight}});
  for (const PoolReport& pool : report.pools) {
    const auto reserved = static_cast<uint64_t>(std::max<int64_t>(pool.peak_reserved_bytes, 0));
    const auto allocated = static_cast<uint64_t>(pool.peak_allocated_bytes);
    table.add({pool.device == trace::kNoDevice ? "?" : fmt::format("device:{}", pool.device),
               bytes_text(pool.peak_allocated_bytes), format_ns(pool.peak_allocated_ns),
               format_bytes(reserved), format_ns(pool.peak_reserved_ns),
               reserved > allocated ? format_share(reserved - allocated, reserved) : "0.0 %"});
  }
  return "\nThe framework's pool\n" + table.text();
}

std::string rate(uint64_t bytes, int64_t time_ns) {
  // Bytes per nanosecond are GB per second.
  return time_ns == 0 ? "–"
                      : fmt::format("{:.2f} GB/s",
                                    static_cast<double>(bytes) / static_cast<double>(time_ns));
}

std::string side(trace::Space space) {
  return space == trace::Space::kHost ? "pageable" : trace::to_string(space);
}

std::string transfers(const Report& report) {
  if (report.transfers.empty() && !report.memsets) return "";
  TextTable table({{"kind"},
                   {"from"},
                   {"to"},
                   {"count", Align::kRight},
                   {"bytes", Align::kRight},
                   {"time", Align::kRight},
                   {"rate", Align::kRight}});
  for (const TransferLine& line : report.transfers) {
    table.add({trace::to_string(line.kind), side(line.src_space), side(line.dst_space),
               format_count(line.count), format_bytes(line.bytes), format_ns(line.time_ns),
               rate(line.bytes, line.time_ns)});
  }
  if (report.memsets) {
    const OperationTotal& total = *report.memsets;
    table.add({"set", "", "", format_count(total.count), format_bytes(total.bytes),
               format_ns(total.time_ns), rate(total.bytes, total.time_ns)});
  }
  return "\nCopies and sets\n" + table.text();
}

std::string kernels(const Report& report) {
  if (!report.kernels) return "";
  constexpr size_t name_width = 52;
  const KernelTotal& total = *report.kernels;
  std::string out = fmt::format("\nKernels: {} of {}, {} in total\n", format_count(total.count),
                                plural(total.names, "name", "names"), format_ns(total.time_ns));
  if (total.top.empty()) return out;
  TextTable table({{"share", Align::kRight},
                   {"time", Align::kRight},
                   {"count", Align::kRight},
                   {"mean", Align::kRight},
                   {"name"}});
  for (const KernelLine& line : total.top) {
    table.add(
        {format_share(static_cast<uint64_t>(line.time_ns), static_cast<uint64_t>(total.time_ns)),
         format_ns(line.time_ns), format_count(line.count),
         format_ns(line.time_ns / static_cast<int64_t>(line.count)),
         line.name.empty() ? "?" : short_function(printable(line.name), name_width)});
  }
  return out + table.text();
}

std::string accesses(const Report& report) {
  if (!report.accesses) return "";
  const AccessTotal& total = *report.accesses;
  return fmt::format(
      "\nAccesses: {} of blocks by kernels; {} of {} in blocks of device memory were touched "
      "({})\n",
      format_count(total.accesses), format_bytes(total.touched_bytes), format_bytes(total.bytes),
      format_share(total.touched_bytes, total.bytes));
}

std::string losses(const Report& report) {
  if (report.losses.empty()) return "\nLosses: none\n";
  TextTable table({{"severity"}, {"count", Align::kRight}, {"name"}});
  for (const trace::Loss& loss : report.losses) {
    table.add({trace::to_string(loss.severity), format_count(loss.count), printable(loss.name)});
  }
  return "\nLosses\n" + table.text();
}

std::string events(const Report& report) {
  if (!report.has_device() && report.markers == 0) return "";
  std::vector<std::string> parts;
  uint64_t copies = 0;
  for (const TransferLine& line : report.transfers) copies += line.count;
  if (copies > 0) parts.push_back(plural(copies, "copy", "copies"));
  if (report.memsets) parts.push_back(plural(report.memsets->count, "set", "sets"));
  if (report.kernels) parts.push_back(plural(report.kernels->count, "kernel", "kernels"));
  if (report.accesses) parts.push_back(plural(report.accesses->accesses, "access", "accesses"));
  if (report.markers > 0) parts.push_back(plural(report.markers, "marker", "markers"));
  return parts.empty() ? "" : fmt::format("{}\n", fmt::join(parts, " · "));
}

}  // namespace

std::string wrapped(std::string_view bullet, std::string_view text) {
  const std::string indent(columns(bullet), ' ');
  std::string result;
  std::string line(bullet);
  bool fresh = true;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, space);
    if (!fresh && columns(line) + 1 + columns(word) > kColumns) {
      result += line + '\n';
      line = indent;
      fresh = true;
    }
    if (!fresh) line += ' ';
    line += word;
    fresh = false;
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return result + line + '\n';
}

std::string exit_text(const ProcessLine& line) {
  static constexpr std::array<const char*, 32> signals = {
      "",          "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
      "SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
      "SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
      "SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS"};
  if (line.process.end_ns == trace::kNever) return "end not seen";
  if (line.process.exit == std::numeric_limits<int32_t>::min()) return "ended";
  std::string text = fmt::format("exit {}", line.process.exit);
  const auto signal = static_cast<size_t>(line.signal);
  if (signal > 0 && signal < signals.size()) {
    text += fmt::format(" ({})", signals[signal]);
  } else if (signal > 0) {
    text += fmt::format(" (signal {})", signal);
  }
  return text;
}

std::string report_text(const Report& report) {
  return headline(report) + events(report) + out_of_memory_text(report) + processes(report) +
         ranks_text(report) + memory(report) + pools(report) + device_memory_text(report) +
         driver_memory_text(report) + power_text(report) + fits_text(report) +
         iterations_text(report) + owners_text(report) + findings_text(report) +
         techniques_text(report) + at_peaks(report) + leaked(report) + process_memory_text(report) +
         transfers(report) + kernels(report) + accesses(report) + losses(report);
}

std::string info_text(const Report& report) {
  return headline(report) + events(report) + out_of_memory_text(report) + processes(report) +
         ranks_text(report) + memory(report) + apis(report) + pools(report) + accesses(report) +
         losses(report);
}

}  // namespace tidemark::analyzer
