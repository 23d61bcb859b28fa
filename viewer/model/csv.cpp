#include "tidemark/viewer/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "tidemark/viewer/format.h"

namespace tidemark::viewer {
namespace {

// A name in a trace must not become a formula of a spreadsheet.
bool is_formula(std::string_view cell) {
  if (cell.empty()) return false;
  if (cell[0] == '=' || cell[0] == '@') return true;
  const bool sign = cell[0] == '+' || cell[0] == '-';
  return sign && (cell.size() == 1 || std::isdigit(static_cast<unsigned char>(cell[1])) == 0);
}

std::string number(uint64_t value) { return std::to_string(value); }
std::string number(int64_t value) { return std::to_string(value); }
// Absent where it lasts.
std::string end(int64_t time_ns) { return time_ns == trace::kNever ? "" : number(time_ns); }
std::string address(uint64_t value) { return fmt::format("0x{:x}", value); }

std::string uses_csv(const BlockDetails& details) {
  CsvTable table({"use", "id", "start_ns", "end_ns", "by"});
  for (const BlockUse& one : details.uses) {
    table.add({use_word(one.use.kind), number(one.use.id), number(one.use.start_ns),
               number(one.use.end_ns), details.names[one.name]});
  }
  return table.take();
}

std::string blocks_csv(const OperationDetails& details) {
  CsvTable table({"block", "series", "what", "address", "bytes", "alloc_ns", "free_ns"});
  for (const BlockLink& block : details.blocks) {
    table.add({number(static_cast<int64_t>(block.id)), analyzer::series_text(block.series),
               block.what, address(block.address), number(block.bytes), number(block.alloc_ns),
               end(block.free_ns)});
  }
  return table.take();
}

std::string range_csv(const RangeDetails& details) {
  CsvTable table({"growth_bytes", "born_bytes", "born_blocks", "died_bytes", "died_blocks",
                  "kept_bytes", "kept_blocks", "never_freed_bytes", "never_freed_blocks",
                  "allocated_at"});
  for (const RangeRow& row : details.rows) {
    table.add({number(row.growth()), number(row.born_bytes), number(row.born_count),
               number(row.died_bytes), number(row.died_count), number(row.kept_bytes),
               number(row.kept_count), number(row.leaked_bytes), number(row.leaked_count),
               row.caption});
  }
  return table.take();
}

}  // namespace

void CsvTable::add(std::initializer_list<std::string_view> cells) {
  bool first = true;
  for (const std::string_view cell : cells) {
    if (!std::exchange(first, false)) text_ += ',';
    const bool formula = is_formula(cell);
    if (!formula && cell.find_first_of(",\"\r\n") == std::string_view::npos) {
      text_ += cell;
      continue;
    }
    text_ += formula ? "\"'" : "\"";
    for (const char c : cell) {
      if (c == '"') text_ += '"';
      text_ += c;
    }
    text_ += '"';
  }
  text_ += '\n';
}

std::string live_csv(const LiveAnswer& answer) {
  CsvTable table({"bytes", "blocks", "call", "allocated_at"});
  for (const LiveRow& row : answer.rows) {
    table.add({number(row.bytes), number(row.count), row.api, row.text->caption});
  }
  return table.take();
}

std::string usage_csv(const Track& track) {
  CsvTable table({"time_ns", "series", "bytes"});
  const std::string name = analyzer::series_text(track.curve.series);
  for (const analyzer::UsagePoint& point : track.curve.points) {
    table.add({number(point.time_ns), name, number(point.bytes)});
  }
  for (const analyzer::UsagePoint& point : track.reserved) {
    table.add({number(point.time_ns), name + " reserved", number(point.bytes)});
  }
  return table.take();
}

std::string findings_csv(std::span<const analyzer::Finding> findings) {
  CsvTable table({"pattern", "series", "bytes", "blocks", "byte_seconds", "seconds", "peak_bytes",
                  "peak_without_bytes", "where", "file", "line", "evidence", "mend"});
  for (const analyzer::Finding& one : findings) {
    table.add({analyzer::pattern_text(one.pattern), analyzer::series_text(one.series),
               number(one.bytes), number(one.count), fmt::format("{}", one.byte_seconds),
               fmt::format("{}", one.seconds), number(one.peak_bytes),
               number(one.peak_without_bytes), one.where, one.file,
               one.line > 0 ? std::to_string(one.line) : "", one.evidence, one.mend});
  }
  return table.take();
}

std::string techniques_csv(const analyzer::TechniqueAdvice& advice) {
  CsvTable table({"technique", "applies", "saved_bytes", "peak_with_bytes", "beside_bytes",
                  "time_ratio", "seconds", "why", "change", "command"});
  for (const analyzer::TechniqueLine& line : advice.lines) {
    table.add({analyzer::technique_text(line.technique), line.applies ? "yes" : "no",
               number(advice.saved_bytes(line)),
               line.peak_with_bytes ? number(*line.peak_with_bytes) : "", number(line.beside_bytes),
               line.time_ratio ? fmt::format("{}", *line.time_ratio) : "",
               line.seconds > 0 ? fmt::format("{}", line.seconds) : "", line.why, line.change,
               line.command});
  }
  return table.take();
}

std::string search_csv(const SearchAnswer& answer) {
  CsvTable table({"bytes", "begin_ns", "end_ns", "in", "what"});
  for (const SearchHit& hit : answer.hits) {
    table.add({hit.bytes > 0 ? number(hit.bytes) : "", number(hit.begin_ns), end(hit.end_ns),
               hit.place, hit.name});
  }
  return table.take();
}

std::string segments_csv(const SegmentMap& map) {
  CsvTable table({"segment", "segment_bytes", "address", "bytes", "block", "alloc_ns"});
  for (const PoolSegment& segment : map.segments) {
    for (const SegmentPiece& piece : segment.pieces) {
      const bool hole = piece.is_hole();
      table.add({address(segment.address), number(segment.bytes), address(piece.address),
                 number(piece.bytes), hole ? "" : number(static_cast<int64_t>(piece.block)),
                 hole ? "" : number(piece.alloc_ns)});
    }
  }
  return table.take();
}

std::string comparison_csv(const Comparison& comparison) {
  CsvTable table({"series", "peak_bytes", "other_peak_bytes", "difference_bytes"});
  for (const ComparedSeries& row : comparison.series) {
    table.add(
        {row.name, number(row.peak_bytes), number(row.other_peak_bytes), number(row.difference())});
  }
  return table.take();
}

std::string stack_text(const analyzer::StackView& stack) {
  std::string text;
  for (const analyzer::StackLine& line : stack.lines) {
    if (!text.empty()) text += "  <  ";
    text += short_function(line.frame.function);
  }
  return text.empty() ? "(no stack)" : text;
}

std::string differences_csv(std::span<const analyzer::DiffRow> rows) {
  CsvTable table({"change_bytes", "bytes_before", "bytes_after", "blocks_before", "blocks_after",
                  "of", "file", "line"});
  for (const analyzer::DiffRow& row : rows) {
    table.add({number(row.change()), number(row.bytes_before), number(row.bytes_after),
               number(row.count_before), number(row.count_after),
               row.name.empty() && !row.stack.lines.empty() ? stack_text(row.stack) : row.name,
               row.file, row.line > 0 ? std::to_string(row.line) : ""});
  }
  return table.take();
}

std::string details_csv(const Details& details) {
  if (const auto* block = std::get_if<BlockDetails>(&details)) return uses_csv(*block);
  if (const auto* operation = std::get_if<OperationDetails>(&details)) {
    return blocks_csv(*operation);
  }
  if (const auto* range = std::get_if<RangeDetails>(&details)) return range_csv(*range);
  return "";
}

std::string forecast_csv(const Forecast& forecast) {
  if (!forecast.error.empty()) return "";
  CsvTable table({"time_ns", "curve", "bytes"});
  for (const auto& [name, points] : {std::pair("predicted allocated", &forecast.allocated),
                                     {"predicted reserved", &forecast.reserved}}) {
    for (const analyzer::UsagePoint& point : *points) {
      table.add({number(point.time_ns), name, number(point.bytes)});
    }
  }
  return table.take();
}

}  // namespace tidemark::viewer
