// The header: what was recorded, its peaks, and whether anything is missing.
#pragma once

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

// Into the current window, from its cursor downwards.
void draw_summary(const PanelContext& context);

}  // namespace tidemark::viewer
