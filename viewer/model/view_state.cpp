#include "tidemark/viewer/view_state.h"

#include <algorithm>

namespace tidemark::viewer {

ViewState::ViewState(const Document& document, Theme chosen)
    : axis(document.begin_ns, document.end_ns), theme(chosen) {
  if (const Track* track = document.most_telling()) {
    selected = track->curve.series;
    set_cursor(track->curve.peak_ns);
    // A program that imports for 15 s and trains for one: begin with the second that matters.
    const auto& points = track->curve.points;
    if (points.empty()) return;
    const int64_t begin_ns = points.front().time_ns;
    const int64_t active_ns = points.back().time_ns - begin_ns;
    if (active_ns > 0 && active_ns < (document.end_ns - document.begin_ns) / 4) {
      const int64_t margin_ns = active_ns / 16 + 1;
      axis.frame(begin_ns - margin_ns, begin_ns + active_ns + margin_ns);
    }
  }
}

void ViewState::set_cursor(int64_t time_ns) {
  cursor_ns = std::clamp(time_ns, axis.extent_begin_ns(), axis.extent_end_ns());
}

void ViewState::step_cursor(const Document& document, bool forward) {
  const Track* track = document.find(selected);
  if (track == nullptr) return;
  set_cursor(forward ? track->pyramid.next_change(cursor_ns)
                     : track->pyramid.previous_change(cursor_ns));
  axis.reveal(cursor_ns);
}

void ViewState::go_to_peak(const Document& document) {
  const Track* track = document.find(selected);
  if (track == nullptr) return;
  set_cursor(track->curve.peak_ns);
  axis.reveal(cursor_ns);
}

}  // namespace tidemark::viewer
