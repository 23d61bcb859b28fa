// What the user has chosen: the span shown, the cursor, the series whose live blocks are listed,
// the block or operation and the range whose details are shown, and the way back to earlier views.
// Plain value; belongs to the thread that draws.
#pragma once

#include <optional>
#include <vector>

#include "tidemark/viewer/document.h"
#include "tidemark/viewer/palette.h"
#include "tidemark/viewer/slice_lane.h"
#include "tidemark/viewer/time_axis.h"
#include "tidemark/viewer/track_list.h"

namespace tidemark::viewer {

struct TimeRange {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  bool operator==(const TimeRange&) const = default;
};

// What was clicked; at most one of the two.
struct Choice {
  trace::AllocationId block{};    // 0: none
  analyzer::Series block_series;  // of the block
  int64_t block_ns = 0;           // a moment at which it lives
  SliceKind operation_kind{};
  int64_t operation = 0;  // id of its kind; 0: none
  int64_t operation_ns = 0;
  bool operator==(const Choice&) const = default;
};

// What `back` returns to.
struct Place {
  double begin_ns = 0;
  double span_ns = 0;
  int64_t cursor_ns = 0;
  analyzer::Series selected;
  Choice choice;
  std::optional<TimeRange> range;
  bool operator==(const Place&) const = default;
};

// As a web browser's: a new place forgets what lay ahead.
class History {
 public:
  static constexpr size_t kMost = 200;
  // Does nothing when it is where we are.
  void visit(const Place& place);
  bool can_back() const { return at_ > 1; }
  bool can_forward() const { return at_ < places_.size(); }
  std::optional<Place> back();
  std::optional<Place> forward();

 private:
  std::vector<Place> places_;
  size_t at_ = 0;  // places before the current one, itself included
};

struct ViewState {
  // The cursor at the peak of the most telling series; shows all, or, when that series lives in a
  // small part of the recording, that part.
  explicit ViewState(const Document& document, Theme chosen = Theme::kDark);

  TimeAxis axis;
  int64_t cursor_ns = 0;
  analyzer::Series selected;
  Theme theme = Theme::kDark;
  Choice choice;
  std::optional<TimeRange> range;
  TrackList tracks;
  Colouring colouring = Colouring::kCategory;
  bool packed = false;         // blocks by size; else at their addresses
  int64_t capacity_bytes = 0;  // of the card chosen to fit into; 0: none
  // A place in the sources that is to be opened in an editor; the program takes it.
  struct Source {
    std::string file;
    int line = 0;
  };
  std::optional<Source> wanted_source;
  History history;
  // Where it was last still: what back() and forward() go between.
  void remember() { history.visit(place()); }
  bool back();
  bool forward();

  void set_cursor(int64_t time_ns);
  void select(const analyzer::Series& series) { selected = series; }
  void choose(const Choice& chosen);
  // Either order.
  void set_range(int64_t one_ns, int64_t other_ns);
  // Of the selected series' unit: the range, else what is chosen, else all.
  void frame_choice(const std::optional<TimeRange>& chosen_span);
  // To the neighbouring change, or the peak, of the selected series; the span follows.
  void step_cursor(const Document& document, bool forward);
  void go_to_peak(const Document& document);
  // A document with more in it (loading goes on): what is shown stays.
  void grow(const Document& document);

 private:
  Place place() const;
  void go(const Place& place);
};

}  // namespace tidemark::viewer
