// What the analyzer finds wasted, worst first; a click goes to the block or copy that weighs most
// in it, at the time of waste, and searches for its line.
#pragma once

#include <optional>

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

class FindingsPanel {
 public:
  // Into the current window, filling it. Returns what to search for when a finding was clicked.
  std::optional<std::string> draw(const PanelContext& context);

 private:
  std::optional<size_t> selected_;
};

}  // namespace tidemark::viewer
