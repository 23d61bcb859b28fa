// The tracks over the common time axis. Wheel: zoom about the mouse. Drag: pan. Shift-drag: select
// a range. Click on a curve: cursor, at the highest moment of the clicked pixel column, and the
// series is selected; on a block, a kernel or copy: its details; on an iteration, a phase or a
// range of the program: that range. Double click: all. Click on a name: select; right click: pin,
// move, hide. Keys are in keys.h.
#pragma once

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

// A block as it was drawn: what is seen can be clicked.
struct DrawnBar {
  Bar bar;
  analyzer::Series series;
  ImVec2 min;
  ImVec2 max;
};

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
    bool holds_y(float y) const { return y >= min.y && y < max.y; }
  };
  struct Row {
    TrackRow track;
    Box box;  // of the plot; may lie outside of what is scrolled into view
  };
  const Box& plot() const { return plot_; }
  const std::vector<Row>& rows() const { return rows_; }
  // One per usage track of the document; empty boxes of hidden ones.
  const std::vector<Box>& tracks() const { return tracks_; }
  // Of all rows of blocks.
  const std::vector<DrawnBar>& bars() const { return bars_; }

 private:
  // On a ground of its own on the axis; nothing where the text is "".
  struct AxisLabel {
    std::string text;
    float centre = 0;
    float half = 0;  // of its width
    bool touches(float other_centre, float other_half) const {
      return !text.empty() && std::abs(other_centre - centre) < half + other_half;
    }
  };
  void draw_axis(const PanelContext& context, const Box& box) const;
  void draw_filter(const PanelContext& context, ImVec2 at);
  AxisLabel label_at(const PanelContext& context, float x, std::string text) const;
  AxisLabel cursor_label(const PanelContext& context) const;
  AxisLabel range_label(const PanelContext& context, const AxisLabel& cursor) const;
  void draw_label(const PanelContext& context, const AxisLabel& label, Colour ground,
                  Colour text) const;
  void place_rows(const PanelContext& context, ImVec2 origin, float height);
  void draw_rows(const PanelContext& context, float height);
  void draw_row(const PanelContext& context, const Row& row);
  void draw_row_menu(const PanelContext& context);
  void draw_cursor_line(const PanelContext& context) const;
  void draw_hover(const PanelContext& context) const;
  void handle_mouse(const PanelContext& context);
  void handle_drag(const PanelContext& context);
  void handle_click(const PanelContext& context);
  void handle_keys(const PanelContext& context) const;
  const Row* row_at(float y) const;
  // The lane of slices at this height of a row, and their texts; null where there is none.
  const SliceLane* lane_at(const PanelContext& context, const Row& row, float y,
                           const std::vector<std::string>** texts) const;
  const Slice* slice_at(const PanelContext& context, const Row& row, ImVec2 at,
                        const std::vector<std::string>** texts) const;
  // What is drawn at the mouse or nearest within a few pixels.
  const DrawnBar* bar_at(ImVec2 at) const;

  float gutter_ = 0;
  Box plot_;
  std::vector<Row> rows_;
  std::vector<Box> tracks_;
  std::vector<DrawnBar> bars_;
  bool hovered_ = false;
  bool dragged_ = false;
  bool selecting_ = false;  // a range, by Shift
  double grabbed_ns_ = 0;
  TrackRow menu_row_;
  std::array<char, 64> filter_{};
};

}  // namespace tidemark::viewer
