// The faces of a ReportDiff.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "json_parts.h"
#include "render_parts.h"
#include "tidemark/analyzer/diff.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

constexpr size_t kShownRows = 8;
constexpr size_t kShownStacks = 4;
constexpr size_t kStackLines = 8;

std::string signed_bytes(int64_t bytes) {
  const uint64_t size =
      bytes < 0 ? uint64_t{0} - static_cast<uint64_t>(bytes) : static_cast<uint64_t>(bytes);
  return (bytes < 0 ? "-" : bytes > 0 ? "+" : "") + format_bytes(size);
}

std::string moment(const SeriesPeak& peak) {
  if (peak.iteration < 0) return fmt::format("at {}", format_ns(peak.at_ns));
  return fmt::format("at {}, iteration {}, {}", format_ns(peak.at_ns), peak.iteration + 1,
                     to_string(peak.phase));
}

std::string headline(const SeriesDiff& line) {
  const std::string name = series_text(line.series);
  if (!line.before)
    return fmt::format("\n{}: only after, {}\n", name, bytes_text(line.after->bytes));
  if (!line.after) {
    return fmt::format("\n{}: only before, {}\n", name, bytes_text(line.before->bytes));
  }
  if (line.change() == 0)
    return fmt::format("\n{}: {} as before\n", name, bytes_text(line.after->bytes));
  std::string out = fmt::format("\n{}: {} -> {}, {}", name, bytes_text(line.before->bytes),
                                bytes_text(line.after->bytes), signed_bytes(line.change()));
  if (line.before->bytes > 0) {
    out += fmt::format(" ({:+.1f} %)", 100 * static_cast<double>(line.change()) /
                                           static_cast<double>(line.before->bytes));
  }
  return out + fmt::format("\n  before {}; after {}\n", moment(*line.before), moment(*line.after));
}

// "+1.21 GiB  1.21 GiB -> 2.42 GiB  name"
std::string row_line(const DiffRow& row, const std::string& name) {
  constexpr size_t numbers = 40;
  return fmt::format("  {}  {} -> {}  {}\n", pad_left(signed_bytes(row.change()), 10),
                     pad_left(format_bytes(row.bytes_before), 9),
                     pad_left(format_bytes(row.bytes_after), 9),
                     fit_path(printable(name), kColumns - numbers));
}

size_t changed(const std::vector<DiffRow>& rows) {
  return static_cast<size_t>(std::count_if(rows.begin(), rows.end(),
                                           [](const DiffRow& row) { return row.change() != 0; }));
}

// The largest changes come first, so what is not shown is the end of the list.
std::string rest_line(const std::vector<DiffRow>& rows, size_t shown, const char* one,
                      const char* many) {
  const size_t all = changed(rows);
  if (all <= shown) return "";
  DiffRow rest;
  for (size_t i = shown; i < all; ++i) {
    rest.bytes_before += rows[i].bytes_before;
    rest.bytes_after += rows[i].bytes_after;
  }
  return row_line(rest, plural(all - shown, one, many));
}

std::string owners(const char* title, const std::vector<DiffRow>& rows, const char* unnamed,
                   const char* one, const char* many) {
  const size_t shown = std::min(changed(rows), kShownRows);
  if (shown == 0) return "";
  std::string out = fmt::format("  {}\n", title);
  for (size_t i = 0; i < shown; ++i) {
    std::string name = rows[i].name.empty() ? unnamed : rows[i].name;
    out += row_line(rows[i], name);
  }
  return out + rest_line(rows, shown, one, many);
}

// "GPT2Block[3].Conv1D[0]" without its numbers, which go into `numbers`.
std::string without_numbers(const std::string& path, std::vector<std::string>& numbers) {
  std::string out;
  for (size_t at = 0; at < path.size();) {
    const size_t open = std::min(path.find('[', at), path.size());
    const size_t close = std::min(path.find(']', open), path.size());
    out += path.substr(at, open - at);
    if (open < path.size()) {
      out += '[';
      numbers.push_back(path.substr(open + 1, close - open - 1));
    }
    at = close;
  }
  return out;
}

std::string with_numbers(const std::string& shape, const std::vector<std::string>& numbers) {
  std::string out;
  size_t next = 0;
  for (const char c : shape) {
    out += c;
    if (c == '[' && next < numbers.size()) out += numbers[next++];
  }
  return out;
}

// Layers that differ only in their numbers as one: "GPT2Block[*].Conv1D[0] (12 layers)".
std::vector<DiffRow> alike_together(const std::vector<DiffRow>& layers) {
  struct Alike {
    DiffRow sum;
    std::vector<std::string> numbers;
    size_t count = 0;
  };
  std::map<std::string, Alike> shapes;
  for (const DiffRow& row : layers) {
    std::vector<std::string> numbers;
    Alike& alike = shapes[without_numbers(row.name, numbers)];
    if (alike.count++ == 0) alike.numbers = numbers;
    for (size_t i = 0; i < numbers.size(); ++i) {
      if (alike.numbers[i] != numbers[i]) alike.numbers[i] = "*";
    }
    alike.sum.bytes_before += row.bytes_before;
    alike.sum.bytes_after += row.bytes_after;
  }
  std::vector<DiffRow> rows;
  for (auto& [shape, alike] : shapes) {
    alike.sum.name = with_numbers(shape, alike.numbers);
    if (alike.count > 1) alike.sum.name += fmt::format(" ({} layers)", alike.count);
    rows.push_back(std::move(alike.sum));
  }
  std::stable_sort(rows.begin(), rows.end(), larger_change);
  return rows;
}

std::vector<DiffRow> spaced(std::vector<DiffRow> categories) {
  for (DiffRow& row : categories) std::replace(row.name.begin(), row.name.end(), '_', ' ');
  return categories;
}

StackView shortened(const StackView& stack) {
  std::vector<trace::Frame> frames;
  for (const StackLine& line : stack.lines) frames.push_back(line.frame);
  return view_stack(frames, kStackLines);
}

std::string stacks(const std::vector<DiffRow>& rows) {
  const size_t shown = std::min(changed(rows), kShownStacks);
  if (shown == 0) return "";
  std::string out = "  by call stack\n";
  for (size_t i = 0; i < shown; ++i) {
    const DiffRow& row = rows[i];
    out += row_line(row, row.name.empty()
                             ? fmt::format("{} -> {} blocks", row.count_before, row.count_after)
                             : row.name);
    if (row.name.empty()) out += stack_lines(shortened(row.stack));
  }
  return out + rest_line(rows, shown, "more stack", "more stacks");
}

std::string side_text(const char* name, const ReportDiff::Side& side) {
  std::string title = fmt::format("{} {}", name, printable(side.path));
  if (!side.command.empty()) title += ": " + printable(side.command);
  std::string out = fit(title, kColumns) + "\n";
  for (const std::string& remark : side.remarks) out += wrapped("  ! ", printable(remark));
  return out;
}

Json peak_json(const std::optional<SeriesPeak>& peak) {
  if (!peak) return {};
  return {{"peak_bytes", peak->bytes},
          {"peak_at_ns", peak->at_ns},
          {"iteration", peak->iteration < 0 ? Json() : Json(peak->iteration)},
          {"phase", to_string(peak->phase)}};
}

enum class Named : uint8_t { kCategory, kLine, kLayer, kStack };

Json rows_json(const std::vector<DiffRow>& rows, Named named) {
  Json list = Json::array();
  for (const DiffRow& row : rows) {
    Json entry;
    if (named == Named::kCategory) entry["category"] = row.name;
    if (named == Named::kLine || named == Named::kLayer) {
      entry["name"] = or_null(row.name);
      entry["file"] = or_null(row.file);
    }
    if (named == Named::kLine) entry["line"] = row.line > 0 ? Json(row.line) : Json();
    if (named == Named::kStack) entry["stack"] = stack_json(row.stack);
    entry["bytes_before"] = row.bytes_before;
    entry["bytes_after"] = row.bytes_after;
    entry["change_bytes"] = row.change();
    if (named != Named::kCategory) {
      entry["count_before"] = row.count_before;
      entry["count_after"] = row.count_after;
    }
    list.push_back(std::move(entry));
  }
  return list;
}

Json side_json(const ReportDiff::Side& side) {
  return {{"path", side.path},
          {"command", or_null(side.command)},
          {"span_ns", side.span_ns},
          {"remarks", side.remarks}};
}

}  // namespace

std::string diff_text(const ReportDiff& diff) {
  std::string out = side_text("before:", diff.before) + side_text("after: ", diff.after);
  for (auto line = diff.series.rbegin(); line != diff.series.rend(); ++line) {
    out += headline(*line);
    out += owners("by category", spaced(line->categories), "unknown", "more category",
                  "more categories");
    out += owners("by line of code", line->lines, "lines that each hold less", "more line",
                  "more lines");
    const bool layered = std::any_of(line->layers.begin(), line->layers.end(),
                                     [](const DiffRow& row) { return !row.name.empty(); });
    if (layered) {
      out += owners("by layer of the model", alike_together(line->layers), "in no layer",
                    "more kind of layer", "more kinds of layers");
    }
    out += stacks(line->stacks);
  }
  return out;
}

std::string diff_json(const ReportDiff& diff) {
  Json spaces = Json::array();
  for (const SeriesDiff& line : diff.series) {
    spaces.push_back({{"space", space_text(line.series)},
                      {"layer", trace::to_string(line.series.layer)},
                      {"before", peak_json(line.before)},
                      {"after", peak_json(line.after)},
                      {"change_bytes", line.change()},
                      {"categories", rows_json(line.categories, Named::kCategory)},
                      {"lines", rows_json(line.lines, Named::kLine)},
                      {"layers", rows_json(line.layers, Named::kLayer)},
                      {"stacks", rows_json(line.stacks, Named::kStack)}});
  }
  return dumped({{"format", "tidemark-diff"},
                 {"version", 1},
                 {"before", side_json(diff.before)},
                 {"after", side_json(diff.after)},
                 {"spaces", spaces}});
}

}  // namespace tidemark::analyzer
