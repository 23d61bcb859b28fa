// A report for a pull request: short, and nothing in it that a trace could turn into markup.
#include <fmt/format.h>

#include <algorithm>

#include "render_parts.h"
#include "tidemark/analyzer/render.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

constexpr size_t kShownLines = 5;

// As code, which nothing inside can end: the fence is longer than any run of backticks. A "|" would
// end a cell of a table even there.
std::string code(std::string_view name) {
  constexpr size_t width = 100;
  const std::string text = fit(printable(name), width);
  size_t longest = 0;
  size_t run = 0;
  std::string body;
  for (const char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
    if (c == '|') body += '\\';
    body += c;
  }
  if (body.empty()) return "";
  const std::string fence(longest + 1, '`');
  const char* const air = longest > 0 ? " " : "";
  return fence + air + body + air + fence;
}

// As text: every character that could be markup is escaped.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    if (std::string_view("\\`*_[]<>|#@&~").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// Whose peak a training run dies of: of the innermost layer, the largest.
const SeriesReport& leading_series(const Report& report) {
  const SeriesReport* lead = &report.series.back();
  for (const SeriesReport& line : report.series) {
    if (line.series.layer == lead->series.layer && line.peak_bytes > lead->peak_bytes) lead = &line;
  }
  return *lead;
}

std::string spaces_table(const Report& report) {
  std::string out = "| layer | space | peak | reached at | never freed |\n|---|---|--:|--:|--:|\n";
  for (auto line = report.series.rbegin(); line != report.series.rend(); ++line) {
    out += fmt::format("| {} | {} | {} | {} | {} |\n", trace::to_string(line->series.layer),
                       space_text(line->series), bytes_text(line->peak_bytes),
                       format_ns(line->peak_ns), format_bytes(line->unfreed_bytes));
  }
  return out;
}

std::string categories_table(const Report& report, const SeriesReport& line) {
  std::string out = "\n| category | bytes | share |\n|---|--:|--:|\n";
  for (const CategoryBytes& category : line.categories) {
    std::string name = category.category;
    std::replace(name.begin(), name.end(), '_', ' ');
    name += guessed_text(report.structure, category.category);
    out += fmt::format("| {} | {} | {} |\n", name, bytes_text(category.bytes),
                       format_share(static_cast<uint64_t>(category.bytes),
                                    static_cast<uint64_t>(line.peak_bytes)));
  }
  return out;
}

std::string lines_table(const SeriesReport& line) {
  if (line.lines.empty()) return "";
  std::string out = "\n| line of code | bytes | share | blocks |\n|---|--:|--:|--:|\n";
  for (size_t i = 0; i < std::min(line.lines.size(), kShownLines); ++i) {
    const Culprit& one = line.lines[i];
    out += fmt::format("| {} | {} | {} | {} |\n", code(one.name), format_bytes(one.bytes),
                       format_share(one.bytes, static_cast<uint64_t>(line.peak_bytes)),
                       format_count(one.count));
  }
  return out;
}

std::string owners(const Report& report, const SeriesReport& line) {
  if (line.peak_bytes == 0) return "";
  std::string out = fmt::format("\n**{} at the peak of {}**, at {}", bytes_text(line.peak_bytes),
                                series_text(line.series), format_ns(line.peak_ns));
  if (line.cause && line.cause->iteration >= 0) {
    out += fmt::format(", in {} of iteration {} of {}",
                       phase_text(report.structure, line.cause->phase), line.cause->iteration + 1,
                       report.structure.iterations.size());
  }
  out += "\n" + categories_table(report, line) + lines_table(line);
  if (line.cause && line.cause->largest && line.lines.size() > 1) {
    out += fmt::format("\nWithout {} the peak would be {}.\n", code(line.cause->largest->name),
                       bytes_text(line.cause->next_peak_bytes));
  }
  return out;
}

// "- `train.py:63 train` (growth, 312 KiB an iteration): why. *Mend:* how. Peak 2 GiB -> 1 GiB."
std::string findings(const Report& report) {
  if (report.findings.empty()) return "";
  constexpr size_t shown_most = 5;
  std::string out = "\n**What to change**\n\n";
  const size_t shown = std::min(report.findings.size(), shown_most);
  for (size_t i = 0; i < shown; ++i) {
    const Finding& one = report.findings[i];
    const std::string what = fmt::format("{}, {}, {}{}", pattern_text(one.pattern),
                                         series_text(one.series), format_bytes(one.bytes),
                                         one.pattern == Pattern::kGrowth ? " an iteration" : "");
    out += one.where.empty() ? "- " + what : fmt::format("- {} ({})", code(one.where), what);
    out += fmt::format(": {}. *Mend:* {}.", plain(one.evidence), plain(one.mend));
    if (one.peak_bytes > one.peak_without_bytes) {
      out += fmt::format(" Peak {} -> {}.", bytes_text(one.peak_bytes),
                         bytes_text(one.peak_without_bytes));
    }
    out += "\n";
  }
  if (shown < report.findings.size()) {
    out += fmt::format("- {} more\n", report.findings.size() - shown);
  }
  return out;
}

std::string techniques(const Report& report) {
  if (!report.techniques) return "";
  const TechniqueAdvice& advice = *report.techniques;
  const auto lines = applying(advice);
  if (lines.empty()) return "";
  std::string out =
      "\n**Techniques that apply**\n\n| technique | gain | change | computed by "
      "|\n|---|---|---|---|\n";
  for (const TechniqueLine* line : lines) {
    out += fmt::format("| {} | {} | {} | {} |\n", technique_text(line->technique),
                       plain(gain_text(advice, *line)), plain(line->change), code(line->command));
  }
  return out;
}

std::string leaks(const Report& report) {
  std::string out;
  for (auto line = report.series.rbegin(); line != report.series.rend(); ++line) {
    if (line->leaked.count == 0) continue;
    out += fmt::format("- {}: {} in {} still held when their process ended\n",
                       series_text(line->series), format_bytes(line->leaked.bytes),
                       plural(line->leaked.count, "block", "blocks"));
  }
  return out.empty() ? "" : "\n" + out;
}

}  // namespace

std::string report_markdown(const Report& report) {
  std::string out = "### Memory";
  if (!report.command.empty()) out += " of " + code(report.command);
  out += "\n\n";
  for (const OutOfMemoryLine& line : report.out_of_memory) {
    out += fmt::format("> **out of memory** at {}: {} asked for\n>\n",
                       format_ns(line.event.time_ns), format_bytes(line.event.requested_bytes));
  }
  for (const std::string& remark : report.remarks) out += fmt::format("> {}\n>\n", plain(remark));
  if (report.series.empty()) return out + "No allocation was recorded.\n";
  if (!report.remarks.empty() || !report.out_of_memory.empty()) out += "\n";
  out += spaces_table(report);
  out += owners(report, leading_series(report));
  return out + findings(report) + techniques(report) + leaks(report);
}

}  // namespace tidemark::analyzer
