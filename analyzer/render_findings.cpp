// Text of the findings.
#include <fmt/format.h>

#include <algorithm>

#include "render_parts.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {

namespace {

std::string what(const Finding& finding) {
  const bool copies = finding.seconds > 0 && finding.series.space == trace::Space::kDevice;
  std::string text = fmt::format("{}, {}: {}", pattern_text(finding.pattern),
                                 series_text(finding.series), format_bytes(finding.bytes));
  if (finding.pattern == Pattern::kGrowth) text += " an iteration";
  if (finding.count > 0) {
    text += " in " + (copies ? plural(finding.count, "copy", "copies")
                             : plural(finding.count, "block", "blocks"));
  }
  if (!finding.where.empty()) text += " by " + fit(printable(finding.where), kColumns / 2);
  return text;
}

std::string gain(const Finding& finding) {
  std::string text;
  if (finding.peak_bytes > 0) {
    text +=
        fmt::format("     peak {} -> {}", format_bytes(static_cast<uint64_t>(finding.peak_bytes)),
                    format_bytes(static_cast<uint64_t>(finding.peak_without_bytes)));
    if (finding.byte_seconds > 0) {
      text +=
          fmt::format("; {} x s idle", format_bytes(static_cast<uint64_t>(finding.byte_seconds)));
    }
    text += "\n";
  }
  if (finding.seconds > 0) {
    constexpr double ns_per_second = 1e9;
    text += fmt::format("     time to be won: {}\n",
                        format_ns(static_cast<int64_t>(finding.seconds * ns_per_second)));
  }
  return text;
}

}  // namespace

std::string findings_text(const Report& report) {
  if (report.findings.empty()) return "";
  constexpr size_t shown_most = 10;
  std::string out = "\nWhat is wasted\n";
  const size_t shown = std::min(report.findings.size(), shown_most);
  for (size_t i = 0; i < shown; ++i) {
    const Finding& finding = report.findings[i];
    out += fmt::format("  {}. {}\n     {}\n     mend: {}\n{}", i + 1, what(finding),
                       finding.evidence, finding.mend, gain(finding));
  }
  if (shown < report.findings.size()) {
    out += fmt::format("  … {} more: --format json\n", report.findings.size() - shown);
  }
  return out;
}

}  // namespace tidemark::analyzer
