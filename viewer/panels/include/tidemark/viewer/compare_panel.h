// Two traces: the peaks of each series side by side and their difference, and of the selected one
// what differs by line, layer, category and call stack. Their curves lie over each other on the
// timeline.
#pragma once

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

class ComparePanel {
 public:
  // Into the current window, filling it.
  void draw(const PanelContext& context);
  DiffGrouping grouping() const { return grouping_; }

 private:
  void draw_rows(const PanelContext& context);

  DiffGrouping grouping_ = DiffGrouping::kLine;
};

}  // namespace tidemark::viewer
