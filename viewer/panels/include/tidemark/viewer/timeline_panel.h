// The tracks over the common time axis. Wheel: zoom about the mouse. Drag: pan. Click: cursor, at
// the highest moment of the clicked pixel column, and the clicked series is selected. Double click
// or F: all. A D W S: pan and zoom. Comma, full stop: neighbouring change. P: peak.
#pragma once

#include <vector>

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

class TimelinePanel {
 public:
  // Into the current window, `height` pixels high, as wide as there is room.
  void draw(const PanelContext& context, float height);

  // As drawn last, in screen pixels.
  struct Box {
    ImVec2 min{0, 0};
    ImVec2 max{0, 0};
    float width() const { return max.x - min.x; }
    float height() const { return max.y - min.y; }
  };
  const Box& plot() const { return plot_; }
  // One per track of the document; may lie outside of what is scrolled into view.
  const std::vector<Box>& tracks() const { return tracks_; }

 private:
  void draw_axis(const PanelContext& context, const Box& box) const;
  // Fills tracks_; returns the height of all together.
  float place_tracks(const PanelContext& context, ImVec2 origin, float height);
  void draw_tracks(const PanelContext& context, float height);
  void draw_track(const PanelContext& context, const Track& track, const Box& box,
                  std::vector<Column>* columns) const;
  void draw_gutter(const PanelContext& context, const Track& track, const Box& box) const;
  void draw_cursor_line(const PanelContext& context) const;
  void draw_cursor_label(const PanelContext& context) const;
  void draw_hover(const PanelContext& context) const;
  void handle_mouse(const PanelContext& context);
  void handle_keys(const PanelContext& context) const;
  const Track* track_at(const PanelContext& context, float y) const;

  float gutter_ = 0;
  Box plot_;
  std::vector<Box> tracks_;
  std::vector<Column> columns_;
  bool hovered_ = false;
  bool dragged_ = false;
};

}  // namespace tidemark::viewer
