// tidemark check FILE --max-peak SPACE=SIZE … [--max-leaks SIZE] [--max-fragmentation SIZE]
// [--max-growth SIZE]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "commands.h"
#include "console.h"
#include "tidemark/analyzer/report.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::cli {
namespace {

struct CheckOptions {
  std::string file;
  std::vector<std::string> peaks;
  std::string leaks;
  std::string fragmentation;
  std::string growth;
};

struct Limit {
  std::string space;
  uint64_t bytes = 0;
};

Result<Limit> parse_limit(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    return fail(
        fmt::format("--max-peak '{}': a space and a size are wanted, as in device:0=24GiB", text));
  }
  const auto bytes = analyzer::parse_size(text.substr(equals + 1));
  if (!bytes) return fail(fmt::format("--max-peak '{}': {}", text, bytes.error().message));
  return Limit{text.substr(0, equals), *bytes};
}

// Layers of a space hold each other. What a device has to offer is asked of the driver; what a
// program asked the host for, of its heap.
const analyzer::SeriesReport* series_of(const analyzer::Report& report, const std::string& space) {
  const auto rank = [](trace::Layer layer) {
    switch (layer) {
      case trace::Layer::kDriver:
        return 3;
      case trace::Layer::kHeap:
        return 2;
      case trace::Layer::kPool:
        return 1;
      default:
        return 0;
    }
  };
  const analyzer::SeriesReport* best = nullptr;
  for (const analyzer::SeriesReport& line : report.series) {
    if (analyzer::space_text(line.series) != space) continue;
    if (best == nullptr || rank(line.series.layer) > rank(best->series.layer)) best = &line;
  }
  return best;
}

std::string spaces_of(const analyzer::Report& report) {
  std::string list;
  for (const analyzer::SeriesReport& line : report.series) {
    const std::string space = analyzer::space_text(line.series);
    if (list.find(space) != std::string::npos) continue;
    list += (list.empty() ? "" : ", ") + space;
  }
  return list.empty() ? "none" : list;
}

class Gate {
 public:
  void hold(const std::string& what, uint64_t bytes, uint64_t limit) {
    const bool kept = bytes <= limit;
    failed_ = failed_ || !kept;
    text_ += fmt::format("{}  {}: {} of at most {}\n", kept ? "ok  " : "FAIL", what,
                         analyzer::format_bytes(bytes), analyzer::format_bytes(limit));
  }
  void fail_of_loss() {
    failed_ = true;
    text_ += "FAIL  something is missing in this trace: tidemark info names it\n";
  }
  bool failed() const { return failed_; }
  const std::string& text() const { return text_; }

 private:
  bool failed_ = false;
  std::string text_;
};

void hold_leaks(const analyzer::Report& report, uint64_t limit, Gate& gate) {
  for (const analyzer::SeriesReport& line : report.series) {
    gate.hold("leaked of " + analyzer::series_text(line.series), line.leaked.bytes, limit);
  }
}

void hold_fragmentation(const analyzer::Report& report, uint64_t limit, Gate& gate) {
  for (const analyzer::PoolReport& pool : report.pools) {
    const int64_t unused = pool.peak_reserved_bytes - pool.peak_allocated_bytes;
    gate.hold(fmt::format("held by the pool of device:{} and never in use", pool.device),
              static_cast<uint64_t>(std::max<int64_t>(0, unused)), limit);
  }
}

void hold_growth(const analyzer::Report& report, uint64_t limit, Gate& gate) {
  for (const analyzer::SeriesReport& line : report.series) {
    if (!line.growth_bytes) continue;
    gate.hold("growth an iteration of " + analyzer::series_text(line.series), *line.growth_bytes,
              limit);
  }
}

struct Limits {
  std::vector<Limit> peaks;
  std::optional<uint64_t> leaks;
  std::optional<uint64_t> fragmentation;
  std::optional<uint64_t> growth;

  bool none() const { return peaks.empty() && !leaks && !fragmentation && !growth; }
};

Result<Limits> parse_limits(const CheckOptions& options) {
  Limits limits;
  for (const std::string& text : options.peaks) {
    const auto limit = parse_limit(text);
    if (!limit) return tl::unexpected(limit.error());
    limits.peaks.push_back(*limit);
  }
  for (const auto& [text, bytes, name] :
       {std::tuple(&options.leaks, &limits.leaks, "--max-leaks"),
        std::tuple(&options.fragmentation, &limits.fragmentation, "--max-fragmentation"),
        std::tuple(&options.growth, &limits.growth, "--max-growth")}) {
    if (text->empty()) continue;
    const auto size = analyzer::parse_size(*text);
    if (!size) return fail(fmt::format("{} '{}': {}", name, *text, size.error().message));
    *bytes = *size;
  }
  if (limits.none()) {
    return fail(
        "nothing to check: give --max-peak SPACE=SIZE, --max-leaks, --max-fragmentation or "
        "--max-growth");
  }
  return limits;
}

// A gate that lets pass what was not there to be seen is none: that is an error.
Result<Gate> hold_all(const analyzer::Report& report, const Limits& limits) {
  Gate gate;
  for (const Limit& limit : limits.peaks) {
    const analyzer::SeriesReport* line = series_of(report, limit.space);
    if (line == nullptr) {
      return fail(fmt::format("{} has no memory of space '{}'; it has: {}", report.path,
                              limit.space, spaces_of(report)));
    }
    gate.hold("peak of " + analyzer::series_text(line->series),
              static_cast<uint64_t>(line->peak_bytes), limit.bytes);
  }
  if (limits.leaks) hold_leaks(report, *limits.leaks, gate);
  if (limits.fragmentation) {
    if (report.pools.empty()) {
      return fail("--max-fragmentation: no framework's pool was recorded in " + report.path);
    }
    hold_fragmentation(report, *limits.fragmentation, gate);
  }
  if (limits.growth) {
    const bool comparable = std::any_of(report.series.begin(), report.series.end(),
                                        [](const auto& line) { return line.growth_bytes; });
    if (!comparable) {
      return fail("--max-growth: no three iterations that are alike were found in " + report.path);
    }
    hold_growth(report, *limits.growth, gate);
  }
  if (report.lost_data()) gate.fail_of_loss();
  return gate;
}

int check(const CheckOptions& options) {
  const auto limits = parse_limits(options);
  if (!limits) return complain(limits.error().message);
  const auto reader = trace::Reader::open(options.file);
  if (!reader) return complain(reader.error().message);
  const auto report = analyzer::build_report(**reader, {});
  if (!report) return complain(report.error().message);
  const auto gate = hold_all(*report, *limits);
  if (!gate) return complain(gate.error().message);
  const int written = write_answer("", options.file, gate->text());
  return written != 0 ? written : gate->failed() ? 1 : 0;
}

}  // namespace

void add_check(CLI::App& app, int& status) {
  const auto options = std::make_shared<CheckOptions>();
  CLI::App* command = app.add_subcommand(
      "check", "A gate for CI: exit 0 when a trace keeps within limits, 1 and why when not");
  command->add_option("FILE", options->file, "A trace")->required();
  command->add_option("--max-peak", options->peaks,
                      "SPACE=SIZE: device:0 (of the driver), host (of the heap), pinned, managed");
  command->add_option("--max-leaks", options->leaks, "SIZE, of each layer and space");
  command->add_option("--max-fragmentation", options->fragmentation,
                      "SIZE: what a framework's pool held beyond the most that was in use");
  command->add_option("--max-growth", options->growth, "SIZE, from iteration to iteration");
  command->footer(
      "Example:\n  tidemark check train.db --max-peak device:0=24GiB --max-peak host=8GiB");
  command->callback([options, &status] { status = check(*options); });
}

}  // namespace tidemark::cli
