#include "tidemark/viewer/view_state.h"

#include <algorithm>

namespace tidemark::viewer {

void History::visit(const Place& place) {
  if (at_ > 0 && places_[at_ - 1] == place) return;
  places_.resize(at_);
  places_.push_back(place);
  if (places_.size() > kMost) places_.erase(places_.begin());
  at_ = places_.size();
}

std::optional<Place> History::back() {
  if (!can_back()) return std::nullopt;
  --at_;
  return places_[at_ - 1];
}

std::optional<Place> History::forward() {
  if (!can_forward()) return std::nullopt;
  return places_[at_++];
}

ViewState::ViewState(const Document& document, Theme chosen)
    : axis(document.begin_ns, document.end_ns), theme(chosen) {
  if (const Track* track = document.most_telling()) {
    selected = track->curve.series;
    set_cursor(track->curve.peak_ns);
    // A program that imports for 15 s and trains for one: begin with the second that matters. Of
    // one that is still being recorded that second may be yet to come: all of it, and as it grows.
    const auto& points = track->curve.points;
    if (points.empty() || !document.summary.finished) return;
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

Place ViewState::place() const {
  return {axis.begin_ns(), axis.span_ns(), cursor_ns, selected, choice, range};
}

void ViewState::go(const Place& place) {
  axis.show(place.begin_ns, place.span_ns);
  cursor_ns = place.cursor_ns;
  selected = place.selected;
  choice = place.choice;
  range = place.range;
}

bool ViewState::back() {
  remember();
  const auto place = history.back();
  if (place) go(*place);
  return place.has_value();
}

bool ViewState::forward() {
  const auto place = history.forward();
  if (place) go(*place);
  return place.has_value();
}

void ViewState::choose(const Choice& chosen) {
  choice = chosen;
  range.reset();
}

void ViewState::set_range(int64_t one_ns, int64_t other_ns) {
  const int64_t first = axis.extent_begin_ns();
  const int64_t last = axis.extent_end_ns();
  range = TimeRange{std::clamp(std::min(one_ns, other_ns), first, last),
                    std::clamp(std::max(one_ns, other_ns), first, last)};
  if (range->begin_ns == range->end_ns) range.reset();
}

void ViewState::frame_choice(const std::optional<TimeRange>& chosen_span) {
  const std::optional<TimeRange> span = range ? range : chosen_span;
  if (!span) {
    axis.frame_all();
    return;
  }
  const int64_t margin = (span->end_ns - span->begin_ns) / 10 + 1;
  axis.frame(span->begin_ns - margin, span->end_ns + margin);
}

void ViewState::grow(const Document& document) {
  const bool all = axis.shows_all();
  TimeAxis grown(document.begin_ns, document.end_ns);
  grown.set_width(axis.width());
  if (!all) grown.show(axis.begin_ns(), axis.span_ns());
  axis = grown;
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
