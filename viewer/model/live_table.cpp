#include "tidemark/viewer/live_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <numeric>

#include "tidemark/analyzer/stack_view.h"
#include "tidemark/viewer/format.h"

namespace tidemark::viewer {
namespace {

std::string frame_caption(const trace::Frame& frame) {
  if (frame.kind == trace::FrameKind::kPython) {
    const std::string name = frame.function.empty() ? "?" : frame.function;
    const std::string place = frame_place(frame);
    return place.empty() ? name : fmt::format("{} ({})", name, place);
  }
  if (!frame.function.empty()) return short_function(frame.function);
  return frame.module.empty() ? "?" : fmt::format("[{}]", base_name(frame.module));
}

}  // namespace

std::string frame_place(const trace::Frame& frame) {
  if (!frame.file.empty()) {
    return frame.line > 0 ? fmt::format("{}:{}", base_name(frame.file), frame.line)
                          : std::string(base_name(frame.file));
  }
  return std::string(base_name(frame.module));
}

std::string stack_caption(std::span<const trace::Frame> frames, size_t depth) {
  const bool python = std::any_of(frames.begin(), frames.end(), [](const trace::Frame& frame) {
    return frame.kind == trace::FrameKind::kPython;
  });
  const auto join = [&](auto wanted) {
    std::string caption;
    size_t shown = 0;
    for (const trace::Frame& frame : frames) {
      if (!wanted(frame)) continue;
      if (shown++ == depth) break;
      if (!caption.empty()) caption += "  <  ";
      caption += frame_caption(frame);
    }
    return caption;
  };
  // What every request of its kind passes through (allocators, dispatch) tells nothing apart.
  std::string caption = join([&](const trace::Frame& frame) {
    return python ? frame.kind == trace::FrameKind::kPython
                  : analyzer::role_of(frame) != analyzer::FrameRole::kInternal;
  });
  if (caption.empty()) caption = join([](const trace::Frame&) { return true; });
  return caption.empty() ? "(no stack)" : caption;
}

std::string outermost_caption(const StackText& text) {
  // The second of the user's own frames from outside: the first is the whole program.
  std::vector<const trace::Frame*> told;
  for (auto frame = text.frames.rbegin(); frame != text.frames.rend(); ++frame) {
    if (analyzer::role_of(*frame) == analyzer::FrameRole::kUser) told.push_back(&*frame);
  }
  if (told.empty()) {
    for (auto frame = text.frames.rbegin(); frame != text.frames.rend(); ++frame) {
      const analyzer::FrameRole role = analyzer::role_of(*frame);
      if (role == analyzer::FrameRole::kLibrary) told.push_back(&*frame);
    }
  }
  if (told.empty()) return text.caption;
  return frame_caption(*told[told.size() > 2 ? 2 : told.size() - 1]);
}

void LiveTable::set_answer(std::shared_ptr<const LiveAnswer> answer) {
  if (answer == answer_) return;
  answer_ = std::move(answer);
  sort();
}

void LiveTable::sort_by(LiveColumn column, bool descending) {
  if (column == column_ && descending == descending_) return;
  column_ = column;
  descending_ = descending;
  sort();
}

void LiveTable::sort() {
  order_.resize(answer_ == nullptr ? 0 : answer_->rows.size());
  std::iota(order_.begin(), order_.end(), size_t{0});
  const auto compare = [this](const LiveRow& a, const LiveRow& b) -> std::strong_ordering {
    switch (column_) {
      case LiveColumn::kBytes:
        return a.bytes <=> b.bytes;
      case LiveColumn::kCount:
        return a.count <=> b.count;
      case LiveColumn::kApi:
        return a.api <=> b.api;
      case LiveColumn::kStack:
        return a.text->caption <=> b.text->caption;
    }
    return std::strong_ordering::equal;
  };
  // Stable over "most bytes first", so equal rows keep that order whichever way the column goes.
  std::stable_sort(order_.begin(), order_.end(), [&](size_t x, size_t y) {
    const auto order = compare(answer_->rows[x], answer_->rows[y]);
    return descending_ ? std::is_gt(order) : std::is_lt(order);
  });
  find_selected();
}

void LiveTable::select(size_t position) {
  if (position >= size()) return;
  chosen_ = {row(position).stack, row(position).api};
  selected_ = position;
}

void LiveTable::find_selected() {
  selected_.reset();
  if (size() == 0) return;
  selected_ = 0;
  if (!chosen_) return;
  for (size_t i = 0; i < size(); ++i) {
    if (row(i).stack == chosen_->first && row(i).api == chosen_->second) selected_ = i;
  }
}

}  // namespace tidemark::viewer
