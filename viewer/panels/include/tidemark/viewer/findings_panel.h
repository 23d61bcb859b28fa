// What the analyzer finds wasted, worst first; a click shows its series at the moment it matters
// and searches for its line. And the device's iterations: a click selects one.
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
