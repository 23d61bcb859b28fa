// Fonts and colours of the model as Dear ImGui knows them. Call between frames, on the thread that
// draws, with a context made.
#pragma once

#include <imgui.h>

#include <string>
#include <string_view>

#include "tidemark/viewer/palette.h"

namespace tidemark::viewer {

struct Fonts {
  ImFont* regular = nullptr;
  ImFont* small = nullptr;
  ImFont* bold = nullptr;
  ImFont* title = nullptr;
  ImFont* mono = nullptr;
};

// From the standard font folders where DejaVu, Noto or Liberation are there, else the built-in one.
// `scale`: 1 for 96 dpi. Replaces what the atlas held; the renderer must upload it afterwards.
Fonts load_fonts(float scale);
void apply_style(Theme theme, float scale);

inline ImU32 to_u32(Colour c) { return IM_COL32(c.red, c.green, c.blue, c.alpha); }
inline ImVec4 to_vec4(Colour c) { return ImGui::ColorConvertU32ToFloat4(to_u32(c)); }

enum class Align : uint8_t { kLeft, kRight, kCentre };
// One line at `at` (its top left, right or centre); returns its width.
float draw_text(ImDrawList* list, ImFont* font, ImVec2 at, Colour colour, std::string_view text,
                Align align = Align::kLeft);
float text_width(ImFont* font, std::string_view text);
// `text` cut at the end with "..." to fit into `width`.
std::string elide(ImFont* font, std::string_view text, float width);
void text_coloured(Colour colour, std::string_view text);

}  // namespace tidemark::viewer
