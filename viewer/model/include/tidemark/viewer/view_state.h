// What the user has chosen: the span shown, the cursor, the series whose live blocks are listed.
// Plain value; belongs to the thread that draws.
#pragma once

#include "tidemark/viewer/document.h"
#include "tidemark/viewer/palette.h"
#include "tidemark/viewer/time_axis.h"

namespace tidemark::viewer {

struct ViewState {
  // The cursor at the peak of the most telling series; shows all, or, when that series lives in a
  // small part of the recording, that part.
  explicit ViewState(const Document& document, Theme chosen = Theme::kDark);

  TimeAxis axis;
  int64_t cursor_ns = 0;
  analyzer::Series selected;
  Theme theme = Theme::kDark;

  void set_cursor(int64_t time_ns);
  void select(const analyzer::Series& series) { selected = series; }
  // To the neighbouring change, or the peak, of the selected series; the span follows.
  void step_cursor(const Document& document, bool forward);
  void go_to_peak(const Document& document);
};

}  // namespace tidemark::viewer
