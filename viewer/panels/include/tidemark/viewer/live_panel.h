// What is live at the cursor in the selected series, by call stack; the selected row's whole stack.
#pragma once

#include "tidemark/viewer/live_table.h"
#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

class LivePanel {
 public:
  // Into the current window, filling it.
  void draw(const PanelContext& context);
  const LiveTable& table() const { return table_; }

 private:
  void draw_title(const PanelContext& context) const;
  void draw_table(const PanelContext& context, ImVec2 size);
  void draw_row(const PanelContext& context, size_t position);
  void draw_stack(const PanelContext& context, ImVec2 size) const;

  LiveTable table_;
};

}  // namespace tidemark::viewer
