// Two traces: the peaks of each series side by side and their difference. Their curves lie over
// each other on the timeline.
#pragma once

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

// Into the current window, filling it.
void draw_compare(const PanelContext& context);

}  // namespace tidemark::viewer
