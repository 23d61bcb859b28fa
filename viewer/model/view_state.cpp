#include "tidemark/viewer/view_state.h"

#include <algorithm>

namespace tidemark::viewer {

ViewState::ViewState(const Document& document, Theme chosen)
    : axis(document.begin_ns, document.end_ns), theme(chosen) {
  if (const Track* track = document.most_telling()) {
    selected = track->curve.series;
    set_cursor(track->curve.peak_ns);
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
