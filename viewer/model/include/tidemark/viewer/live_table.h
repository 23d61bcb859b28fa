// The table of what is live at one moment: rows by call stack with their texts, and the order in
// which they are shown. Values; the texts are shared between answers and immutable.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/live.h"

namespace tidemark::viewer {

struct StackText {
  std::string caption;               // one line: the innermost frames that tell most
  std::vector<trace::Frame> frames;  // innermost first
};

// Python frames where there are any, else native ones: at most `depth`, innermost first.
std::string stack_caption(std::span<const trace::Frame> frames, size_t depth = 3);
// The outermost frame that tells something: what a treemap groups by.
std::string outermost_caption(const StackText& text);
// "file.py:42", "libc.so.6", "" when neither is known.
std::string frame_place(const trace::Frame& frame);

struct LiveRow {
  trace::StackId stack{};
  std::string api;
  uint64_t bytes = 0;
  uint64_t count = 0;
  double share = 0.0;  // of the set's bytes
  std::shared_ptr<const StackText> text;
};

struct LiveAnswer {
  analyzer::Series series;
  int64_t time_ns = 0;
  uint64_t bytes = 0;
  uint64_t count = 0;
  std::vector<LiveRow> rows;  // most bytes first
  std::string error;          // not "": there are no rows, and why
};

enum class LiveColumn : uint8_t { kBytes, kCount, kApi, kStack };

// The rows of an answer in the order asked for, sorted once per change.
class LiveTable {
 public:
  void set_answer(std::shared_ptr<const LiveAnswer> answer);
  void sort_by(LiveColumn column, bool descending);

  const LiveAnswer* answer() const { return answer_.get(); }
  size_t size() const { return order_.size(); }
  const LiveRow& row(size_t position) const { return answer_->rows[order_[position]]; }
  // The selected stack stays selected from answer to answer while it is live; else the first row.
  void select(size_t position);
  std::optional<size_t> selected() const { return selected_; }

 private:
  void sort();
  void find_selected();

  std::shared_ptr<const LiveAnswer> answer_;
  std::vector<size_t> order_;
  LiveColumn column_ = LiveColumn::kBytes;
  bool descending_ = true;
  std::optional<std::pair<trace::StackId, std::string>> chosen_;  // stack and api
  std::optional<size_t> selected_;
};

}  // namespace tidemark::viewer
