// What a page draws beside the sums of a report: usage over time by category, and what lived at a
// peak told apart by stack, line, layer and category at once, so that each can be asked of any
// other. Values; of bounded size whatever the trace. Any thread.
//
// Times: ns since the recording began. Sizes: bytes.
#pragma once

#include <vector>

#include "tidemark/analyzer/categories.h"
#include "tidemark/analyzer/stack_view.h"

namespace tidemark::analyzer {

struct DetailLimits {
  size_t rows = 1000;      // per series, of single stacks; what is beyond is summed up
  size_t samples = 65536;  // over time, of all series together
};

// Usage over time. Either every change, or, where there are too many, columns of equal width that
// each show their largest moment: the maximum over any run of samples is the true one.
//
//   usage      __/\_/\/\__     every change:  times = when it changed, bytes = from then on
//   columns   |  |  |  |  |    columns:       times = where each begins, bytes = at its maximum
struct Timeline {
  int64_t column_ns = 0;          // 0: every change
  std::vector<int64_t> times_ns;  // strictly ascending
  // What is told apart; empty: usage as a whole, which is then bytes[0].
  std::vector<Category> categories;
  std::vector<std::vector<int64_t>> bytes;  // [category][sample]; over all categories: the usage
};

// Some blocks that lived at the peak, alike in all that is said here. -1: not told apart, or in no
// layer.
struct PeakRow {
  int32_t stack = -1;
  int32_t line = -1;   // of code, into PeakDetail::lines
  int32_t layer = -1;  // of the model, into PeakDetail::layers
  Category category = Category::kUnknown;
  uint64_t bytes = 0;
  uint64_t count = 0;
};

struct PeakLine {
  std::string name;  // "train.py:63 train"
  std::string file;
  int32_t line = 0;
};

struct PeakDetail {
  std::vector<PeakRow> rows;  // most bytes first; they add up to the peak
  // False: rows are not told apart by category (of what a pool holds, the pool's rows are).
  bool by_category = true;
  std::vector<StackView> stacks;  // all frames that say something; one may have none
  std::vector<PeakLine> lines;
  std::vector<ModelLayer> layers;
};

struct SeriesDetail {
  Timeline timeline;
  PeakDetail peak;
};

}  // namespace tidemark::analyzer
