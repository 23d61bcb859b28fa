// What the panels show as comma-separated values, one table a file: with a heading, sizes in bytes
// and times in ns, every row and not only those in view. Pure; any thread.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/analyzer/diff.h"
#include "tidemark/analyzer/findings.h"
#include "tidemark/analyzer/techniques.h"
#include "tidemark/viewer/comparison.h"
#include "tidemark/viewer/details.h"
#include "tidemark/viewer/document.h"
#include "tidemark/viewer/forecast.h"
#include "tidemark/viewer/live_table.h"
#include "tidemark/viewer/search.h"
#include "tidemark/viewer/segments.h"

namespace tidemark::viewer {

// A file to be written: `name` says what it holds ("live", "findings"), without an ending.
struct CsvFile {
  std::string name;
  std::string text;
};

// What holds commas, quotes or line breaks is quoted (RFC 4180; lines end in "\n").
class CsvTable {
 public:
  CsvTable(std::initializer_list<std::string_view> headings) { add(headings); }
  void add(std::initializer_list<std::string_view> cells);
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string live_csv(const LiveAnswer& answer);
// Each moment at which the series changed, with what its pool held where it is one.
std::string usage_csv(const Track& track);
std::string findings_csv(std::span<const analyzer::Finding> findings);
std::string techniques_csv(const analyzer::TechniqueAdvice& advice);
std::string search_csv(const SearchAnswer& answer);
// A row for each piece: blocks, and the holes between them.
std::string segments_csv(const SegmentMap& map);
// The peaks of all series, and what differs there by one of its four groupings.
std::string comparison_csv(const Comparison& comparison);
std::string differences_csv(std::span<const analyzer::DiffRow> rows);
// One line of a stack's functions, innermost first.
std::string stack_text(const analyzer::StackView& stack);
// Of a block its uses, of an operation its blocks, of a range its rows; "" where there is nothing.
std::string details_csv(const Details& details);
// The predicted curve; "" where there is none.
std::string forecast_csv(const Forecast& forecast);

}  // namespace tidemark::viewer
