// Text of the advice by technique.
#include <fmt/format.h>

#include <algorithm>

#include "render_parts.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

using Align = TextTable::Align;

int64_t won_ns(const TechniqueLine& line) {
  constexpr double ns_per_second = 1e9;
  return static_cast<int64_t>(line.seconds * ns_per_second);
}

std::string title(const TechniqueAdvice& advice) {
  std::string text = "\nAdvice by technique";
  if (advice.series) {
    text += fmt::format(": {}, {}", series_text(*advice.series),
                        format_bytes(static_cast<uint64_t>(advice.peak_bytes)));
  }
  if (advice.step_ns > 0) text += fmt::format(", a step {}", format_ns(advice.step_ns));
  return text + "\n";
}

std::string saved(const TechniqueAdvice& advice, const TechniqueLine& line) {
  const int64_t bytes = advice.saved_bytes(line);
  return bytes > 0 ? format_bytes(static_cast<uint64_t>(bytes)) : "–";
}

std::string peak_with(const TechniqueLine& line) {
  return line.peak_with_bytes ? format_bytes(static_cast<uint64_t>(*line.peak_with_bytes)) : "–";
}

std::string ratio(const TechniqueLine& line) {
  return line.time_ratio ? fmt::format("{:.2f} x", *line.time_ratio) : "–";
}

}  // namespace

std::vector<const TechniqueLine*> applying(const TechniqueAdvice& advice) {
  std::vector<const TechniqueLine*> lines;
  for (const TechniqueLine& line : advice.lines) {
    if (line.applies) lines.push_back(&line);
  }
  std::ranges::stable_sort(lines, [&](const TechniqueLine* a, const TechniqueLine* b) {
    const auto key = [&](const TechniqueLine* line) {
      return std::pair(advice.saved_bytes(*line), line->seconds);
    };
    return key(a) > key(b);
  });
  return lines;
}

std::string gain_text(const TechniqueAdvice& advice, const TechniqueLine& line) {
  std::vector<std::string> parts;
  if (line.peak_with_bytes) {
    parts.push_back(fmt::format(
        "peak {} -> {}", format_bytes(static_cast<uint64_t>(advice.peak_bytes)), peak_with(line)));
  }
  if (line.beside_bytes > 0) {
    parts.push_back(fmt::format("{} beside it", format_bytes(line.beside_bytes)));
  }
  if (line.time_ratio) parts.push_back(fmt::format("step {}", ratio(line)));
  if (line.seconds > 0) {
    parts.push_back(fmt::format("at most {} to be won", format_ns(won_ns(line))));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string techniques_text(const Report& report) {
  if (!report.techniques) return "";
  const TechniqueAdvice& advice = *report.techniques;
  const auto lines = applying(advice);
  std::string out = title(advice);
  if (!advice.not_replayed.empty()) out += wrapped("  ! ", advice.not_replayed);
  TextTable table({{"technique"},
                   {"saves", Align::kRight},
                   {"peak then", Align::kRight},
                   {"step", Align::kRight},
                   {"time to be won", Align::kRight},
                   {"tidemark whatif FILE …"}});
  for (const TechniqueLine* line : lines) {
    constexpr std::string_view whatif = "tidemark whatif FILE ";
    const bool computed = line->command.starts_with(whatif);
    table.add({technique_text(line->technique), saved(advice, *line), peak_with(*line),
               ratio(*line), line->seconds > 0 ? format_ns(won_ns(*line)) : "–",
               computed ? line->command.substr(whatif.size()) : "–"});
  }
  if (!table.empty()) out += table.text();
  std::vector<std::string> rest;
  for (const TechniqueLine& line : advice.lines) {
    if (!line.applies) rest.emplace_back(technique_text(line.technique));
  }
  if (!rest.empty()) {
    const char* const unknown = advice.not_replayed.empty() ? "" : ", or not predicted";
    out += wrapped("  ",
                   fmt::format("worth less than a hundredth here{} (why: report FILE --advice): {}",
                               unknown, fmt::join(rest, "; ")));
  }
  return out;
}

std::string techniques_in_full(const Report& report) {
  if (!report.techniques) return "";
  std::string out = title(*report.techniques);
  for (const TechniqueLine& line : report.techniques->lines) {
    const bool unknown =
        line.time_ratio == std::nullopt && !report.techniques->not_replayed.empty();
    out += fmt::format("\n  {}: {}\n", technique_text(line.technique),
                       line.applies ? "applies"
                       : unknown    ? "nothing is known to be won"
                                    : "not worth a hundredth here");
    out += wrapped("    ", printable(line.why));
    const std::string gain = gain_text(*report.techniques, line);
    if (!gain.empty()) out += wrapped("    gain: ", gain);
    if (!line.change.empty()) out += wrapped("    change: ", printable(line.change));
    out += wrapped("    see: ", line.command);
  }
  return out;
}

}  // namespace tidemark::analyzer
