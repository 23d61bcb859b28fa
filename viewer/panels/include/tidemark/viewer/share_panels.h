// What is live at the cursor in the selected series, as a flame graph by call stack and as a
// treemap by category and call stack. Both show what the live table shows: the same answer, the
// same sums.
#pragma once

#include <array>
#include <string>

#include "tidemark/viewer/flame.h"
#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

class FlamePanel {
 public:
  // Into the current window, filling it.
  void draw(const PanelContext& context);
  const std::vector<FlameNode>& nodes() const { return nodes_; }

 private:
  void draw_node(const PanelContext& context, size_t index, ImVec2 origin, float width,
                 float height);

  std::shared_ptr<const LiveAnswer> answer_;
  std::vector<FlameNode> nodes_;
  size_t root_ = 0;  // the node that is as wide as the panel
  std::array<char, 128> words_{};
};

class TreemapPanel {
 public:
  // Into the current window, filling it.
  void draw(const PanelContext& context);
  const std::vector<TreeBox>& boxes() const { return boxes_; }

 private:
  std::shared_ptr<const LiveAnswer> answer_;
  const Insight* insight_ = nullptr;
  double aspect_ = 0;
  std::vector<TreeBox> boxes_;
};

}  // namespace tidemark::viewer
