// Text of the training loop and of who owned the peaks.
#include <fmt/format.h>

#include <algorithm>

#include "render_parts.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

constexpr size_t kShownCulprits = 5;
constexpr const char* kGuessed = " (guess)";

std::string share_line(uint64_t bytes, int64_t whole, const std::string& name) {
  return fmt::format("  {} {}  {}\n",
                     pad_left(format_share(bytes, static_cast<uint64_t>(whole)), 7),
                     pad_left(format_bytes(bytes), 10), fit(printable(name), kColumns - 23));
}

std::string culprits(const char* title, const std::vector<Culprit>& list, int64_t whole) {
  if (list.empty()) return "";
  std::string out = fmt::format("  {}\n", title);
  for (size_t i = 0; i < std::min(list.size(), kShownCulprits); ++i) {
    out += share_line(list[i].bytes, whole, list[i].name);
  }
  return out;
}

// How sure the lines of backward are, over the whole recording.
std::string backward_line(const SeriesReport& line) {
  if (!line.backward) return "";
  const BackwardShare& share = *line.backward;
  const uint64_t bytes =
      share.saved_block.bytes + share.order.bytes + share.neighbours.bytes + share.unknown.bytes;
  std::string out =
      fmt::format("  backward's {}: lines sure of {} (by saved blocks), likely of {} (by order)",
                  format_bytes(bytes), format_share(share.saved_block.bytes, bytes),
                  format_share(share.order.bytes, bytes));
  if (share.neighbours.bytes > 0) {
    out += fmt::format(", a guess of {}", format_share(share.neighbours.bytes, bytes));
  }
  if (share.unknown.bytes > 0) {
    out += fmt::format(", unknown of {}", format_share(share.unknown.bytes, bytes));
  }
  return out + "\n";
}

std::string moment(const Report& report, const PeakCause& cause) {
  const std::string phase = phase_text(report.structure, cause.phase);
  if (cause.iteration < 0) {
    return report.structure.iterations.empty() ? "" : fmt::format(", {}", phase);
  }
  return fmt::format(", iteration {}, {}", cause.iteration + 1, phase);
}

std::string owner(const Report& report, const SeriesReport& line) {
  if (!line.cause || line.peak_bytes == 0) return "";
  const PeakCause& cause = *line.cause;
  std::string out =
      fmt::format("\nWho owned the peak of {}: {} at {}{}\n", series_text(line.series),
                  bytes_text(line.peak_bytes), format_ns(line.peak_ns), moment(report, cause));
  for (const CategoryBytes& category : line.categories) {
    std::string name = category.category;
    std::replace(name.begin(), name.end(), '_', ' ');
    name += guessed_text(report.structure, category.category);
    out += share_line(static_cast<uint64_t>(category.bytes), line.peak_bytes, name);
  }
  out += culprits("by line of code", line.lines, line.peak_bytes);
  out += backward_line(line);
  out += culprits("by layer of the model", line.layers, line.peak_bytes);
  if (!cause.risen.empty() && cause.risen_bytes < static_cast<uint64_t>(line.peak_bytes)) {
    out += fmt::format("  rose last: {} since {}, most of it ({}) by {}\n",
                       format_bytes(cause.risen_bytes), format_ns(cause.rise_ns),
                       format_bytes(cause.risen.front().bytes),
                       fit(printable(cause.risen.front().name), kColumns / 2));
  }
  if (cause.largest && line.lines.size() > 1) {
    out +=
        fmt::format("  without {}: {} at {}\n", fit(printable(cause.largest->name), kColumns / 2),
                    bytes_text(cause.next_peak_bytes), format_ns(cause.next_peak_ns));
  }
  return out;
}

}  // namespace

std::string phase_text(const Structure& structure, Phase phase) {
  const bool told = phase == Phase::kSetup || phase == Phase::kOther;
  return std::string(to_string(phase)) +
         (!told && structure.phases_sureness == Sureness::kGuess ? kGuessed : "");
}

std::string guessed_text(const Structure& structure, std::string_view category) {
  const bool by_phase = category == to_string(Category::kParameter) ||
                        category == to_string(Category::kGradient) ||
                        category == to_string(Category::kOptimizerState) ||
                        category == to_string(Category::kActivation);
  const bool guessed =
      !structure.iterations.empty() && structure.phases_sureness == Sureness::kGuess;
  return by_phase && guessed ? kGuessed : "";
}

std::string iterations_text(const Report& report) {
  const Structure& structure = report.structure;
  if (structure.iterations.empty()) return "";
  const size_t warm_ups = structure.warm_ups();
  std::string out = fmt::format("\nIterations: {}", format_count(structure.iterations.size()));
  if (warm_ups > 0) out += fmt::format(", of which {} to warm up", format_count(warm_ups));
  if (const int64_t usual = structure.usual_ns(); usual > 0) {
    out += fmt::format("; {} each", format_ns(usual));
  }
  out += fmt::format("\n  from {} in the {} ({}); phases from {} ({})\n",
                     structure.by_passes ? "the backward passes" : "what repeats",
                     to_string(structure.basis), to_string(structure.iterations_sureness),
                     structure.phases_from, to_string(structure.phases_sureness));
  return out;
}

std::string owners_text(const Report& report) {
  std::string out;
  for (auto line = report.series.rbegin(); line != report.series.rend(); ++line) {
    out += owner(report, *line);
  }
  return out;
}

}  // namespace tidemark::analyzer
