// The segments that the selected device's pool held at the cursor, a bar each: blocks in the
// colours of what they are, and the holes between them. A click chooses a block.
#pragma once

#include <vector>

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

class SegmentsPanel {
 public:
  // Into the current window, filling it.
  void draw(const PanelContext& context);
  Questions::SegmentsAnswer shown() const { return answer_; }
  // A piece as it was drawn last.
  struct DrawnPiece {
    SegmentPiece piece;
    ImVec2 min;
    ImVec2 max;
  };
  const std::vector<DrawnPiece>& pieces() const { return pieces_; }

 private:
  void draw_title(const PanelContext& context, const SegmentMap& map);
  void draw_table(const PanelContext& context, const SegmentMap& map);
  void draw_bar(const PanelContext& context, const PoolSegment& segment, float height);
  void draw_hint(const PanelContext& context) const;

  Questions::SegmentsAnswer answer_;
  SegmentOrder order_ = SegmentOrder::kFree;
  std::vector<size_t> sorted_;
  std::vector<DrawnPiece> pieces_;
};

}  // namespace tidemark::viewer
