// What to change so that the program fits into a capacity, each with its predicted peak and time;
// a click previews it: its curve is then drawn over the recorded one.
#pragma once

#include <optional>

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

// Into the current window. Returns the changes that were clicked.
std::optional<WhatIfChoice> draw_advice(const PanelContext& context, int16_t device,
                                        uint64_t capacity);

}  // namespace tidemark::viewer
