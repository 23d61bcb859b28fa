// Advice by technique: of each of the analyzer's techniques whether it applies to this recording,
// what it is worth, why, and what to change, as `report --advice` has it; a click previews what a
// replay has predicted.
#pragma once

#include <optional>

#include "tidemark/analyzer/techniques.h"
#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

class AdvicePanel {
 public:
  // Into the current window, filling it. Returns what to preview when a row was clicked: no change
  // where that row's worth comes from no replay.
  std::optional<WhatIfChoice> draw(const PanelContext& context);
  std::optional<analyzer::Technique> selected() const { return selected_; }

 private:
  std::optional<WhatIfChoice> draw_table(const PanelContext& context,
                                         const analyzer::TechniqueAdvice& advice, ImVec2 size);
  void draw_why(const PanelContext& context, const analyzer::TechniqueAdvice& advice,
                ImVec2 size) const;

  std::optional<analyzer::Technique> selected_;
};

}  // namespace tidemark::viewer
