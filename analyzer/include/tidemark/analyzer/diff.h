// What grew from one recording to another, at the peak of each space: by category, line of code,
// layer of the model and call stack. Pure: values in, values out; any thread.
//
// What belongs together is found by names, never by addresses, ids or counts: a stack by its
// functions, files and lines, and where lines have moved by its functions alone; likewise a line.
//
// Sizes: bytes. Times: ns since each recording began.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/report.h"

namespace tidemark::analyzer {

// One owner on both sides.
struct DiffRow {
  std::string name;  // as after, or as before where it is gone
  std::string file;  // of a line, "" not known
  int32_t line = 0;
  StackView stack;  // of a stack
  uint64_t bytes_before = 0;
  uint64_t bytes_after = 0;
  uint64_t count_before = 0;  // blocks; of categories not counted
  uint64_t count_after = 0;

  int64_t change() const {
    return static_cast<int64_t>(bytes_after) - static_cast<int64_t>(bytes_before);
  }
};

// The order of rows.
bool larger_change(const DiffRow& a, const DiffRow& b);

struct SeriesPeak {
  int64_t bytes = 0;
  int64_t at_ns = 0;
  int32_t iteration = -1;  // -1: in none
  Phase phase{};
};

// Each list holds everything that lived at either peak, the largest change first, so that the
// changes of each add up to that of the peak. Layers: those of no layer are one row named "".
struct SeriesDiff {
  Series series;
  std::optional<SeriesPeak> before;  // absent: the recording has no such series
  std::optional<SeriesPeak> after;
  std::vector<DiffRow> categories;
  std::vector<DiffRow> lines;
  std::vector<DiffRow> layers;
  std::vector<DiffRow> stacks;

  int64_t change() const { return (after ? after->bytes : 0) - (before ? before->bytes : 0); }
};

struct ReportDiff {
  struct Side {
    std::string path;
    std::string command;
    int64_t span_ns = 0;
    std::vector<std::string> remarks;
  };
  Side before;
  Side after;
  std::vector<SeriesDiff> series;  // in the order of Series
};

// How build_report() has to be asked for both.
ReportOptions diff_options();
ReportDiff diff(const Report& before, const Report& after);

// For a terminal of 100 columns; ends with a newline.
std::string diff_text(const ReportDiff& diff);
// analyzer/FORMAT.md; ends with a newline.
std::string diff_json(const ReportDiff& diff);

}  // namespace tidemark::analyzer
