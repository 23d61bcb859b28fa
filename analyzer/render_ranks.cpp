// The ranks of a distributed job as a table, with each column's imbalance.
#include <fmt/format.h>

#include <algorithm>

#include "render_parts.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

struct RankColumn {
  const char* title;
  uint64_t (*bytes)(const RankLine&);
};
constexpr RankColumn kRankColumns[] = {
    {"pool", [](const RankLine& line) { return line.pool_bytes; }},
    {"driver", [](const RankLine& line) { return line.driver_bytes; }},
    {"communicators", [](const RankLine& line) { return line.communicator_bytes; }},
    {"pinned", [](const RankLine& line) { return line.pinned_bytes; }},
    {"heap", [](const RankLine& line) { return line.heap_bytes; }},
    {"peak RSS", [](const RankLine& line) { return line.resident_bytes.value_or(0); }},
};
constexpr size_t kRankLines = 32;

std::string imbalance(const std::vector<RankLine>& ranks, const RankColumn& column) {
  uint64_t most = 0;
  double sum = 0;
  for (const RankLine& line : ranks) {
    most = std::max(most, column.bytes(line));
    sum += static_cast<double>(column.bytes(line));
  }
  const double mean = sum / static_cast<double>(ranks.size());
  return fmt::format("{:.2f}×", static_cast<double>(most) / mean);
}

}  // namespace

std::string ranks_text(const Report& report) {
  if (report.ranks.empty()) return "";
  using Align = TextTable::Align;
  TextTable table({{"rank", Align::kRight}, {"processes", Align::kRight}, {"device"}});
  std::vector<RankColumn> columns;
  for (const RankColumn& column : kRankColumns) {
    const bool any = std::any_of(report.ranks.begin(), report.ranks.end(),
                                 [&](const RankLine& line) { return column.bytes(line) > 0; });
    if (!any) continue;
    columns.push_back(column);
    table.add_column({column.title, Align::kRight});
  }
  const size_t shown = std::min(report.ranks.size(), kRankLines);
  for (size_t i = 0; i < shown; ++i) {
    const RankLine& line = report.ranks[i];
    std::vector<std::string> cells = {
        std::to_string(line.rank), format_count(line.processes),
        line.devices.empty() ? "–" : fmt::format("{}", fmt::join(line.devices, ","))};
    for (const RankColumn& column : columns) cells.push_back(format_bytes(column.bytes(line)));
    table.add(std::move(cells));
  }
  std::vector<std::string> last = {"max/mean", "", ""};
  for (const RankColumn& column : columns) last.push_back(imbalance(report.ranks, column));
  table.add(std::move(last));
  std::string out =
      "\nRanks: peaks of each (heap and RSS: of its largest process)\n" + table.text();
  if (shown < report.ranks.size()) {
    out += fmt::format("  … {} more: tidemark report --format json\n",
                       format_count(report.ranks.size() - shown));
  }
  return out;
}

}  // namespace tidemark::analyzer
