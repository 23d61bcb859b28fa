#include "tidemark/viewer/style.h"

#include <array>
#include <cmath>
#include <filesystem>
#include <span>

namespace tidemark::viewer {
namespace {

constexpr float kBaseSize = 15.0F;

// Folders of Debian and Ubuntu, Fedora, Arch; then a folder beside them for others.
constexpr std::array kFolders = {"/usr/share/fonts/truetype/dejavu/",
                                 "/usr/share/fonts/truetype/noto/",
                                 "/usr/share/fonts/truetype/liberation/",
                                 "/usr/share/fonts/truetype/liberation2/",
                                 "/usr/share/fonts/dejavu-sans-fonts/",
                                 "/usr/share/fonts/dejavu-sans-mono-fonts/",
                                 "/usr/share/fonts/google-noto/",
                                 "/usr/share/fonts/liberation-sans/",
                                 "/usr/share/fonts/liberation-mono/",
                                 "/usr/share/fonts/TTF/",
                                 "/usr/share/fonts/dejavu/",
                                 "/usr/share/fonts/noto/"};
constexpr std::array kRegular = {"DejaVuSans.ttf", "NotoSans-Regular.ttf",
                                 "LiberationSans-Regular.ttf"};
constexpr std::array kBold = {"DejaVuSans-Bold.ttf", "NotoSans-Bold.ttf",
                              "LiberationSans-Bold.ttf"};
constexpr std::array kMono = {"DejaVuSansMono.ttf", "NotoSansMono-Regular.ttf",
                              "LiberationMono-Regular.ttf"};

std::string find_font(std::span<const char* const> names) {
  for (const char* name : names) {
    for (const char* folder : kFolders) {
      std::string path = std::string(folder) + name;
      std::error_code ignored;
      if (std::filesystem::is_regular_file(path, ignored)) return path;
    }
  }
  return {};
}

ImFont* add_font(const std::string& path, float pixels) {
  ImFontAtlas* atlas = ImGui::GetIO().Fonts;
  ImFontConfig config;
  config.OversampleH = 3;
  config.OversampleV = 1;
  config.PixelSnapH = true;
  config.SizePixels = std::round(pixels);
  if (!path.empty()) {
    if (ImFont* font = atlas->AddFontFromFileTTF(path.c_str(), config.SizePixels, &config)) {
      return font;
    }
  }
  config.SizePixels = std::round(pixels * 13.0F / kBaseSize);  // the built-in one is drawn at 13
  return atlas->AddFontDefault(&config);
}

}  // namespace

Fonts load_fonts(float scale) {
  ImGui::GetIO().Fonts->Clear();
  const std::string regular = find_font(kRegular);
  const std::string bold = find_font(kBold);
  const std::string mono = find_font(kMono);
  const float size = kBaseSize * scale;
  return {.regular = add_font(regular, size),
          .small = add_font(regular, size * 0.87F),
          .bold = add_font(bold, size),
          .title = add_font(bold, size * 1.33F),
          .mono = add_font(mono, size * 0.9F)};
}

void apply_style(Theme theme, float scale) {
  const Palette& colours = palette(theme);
  ImGuiStyle style;
  style.WindowPadding = {0, 0};
  style.WindowBorderSize = 0;
  style.ChildBorderSize = 0;
  style.ChildRounding = 5;
  style.FrameRounding = 4;
  style.PopupRounding = 5;
  style.ScrollbarRounding = 6;
  style.ScrollbarSize = 11;
  style.GrabRounding = 4;
  style.ItemSpacing = {8, 5};
  style.CellPadding = {8, 3};
  style.ScaleAllSizes(scale);

  const auto set = [&](ImGuiCol slot, Colour colour) { style.Colors[slot] = to_vec4(colour); };
  const Colour none = with_alpha(colours.panel, 0.0);
  set(ImGuiCol_Text, colours.text);
  set(ImGuiCol_TextDisabled, colours.text_dim);
  set(ImGuiCol_WindowBg, colours.background);
  set(ImGuiCol_ChildBg, none);
  set(ImGuiCol_PopupBg, mix(colours.panel, colours.text, 0.04));
  set(ImGuiCol_Border, colours.border);
  set(ImGuiCol_ScrollbarBg, none);
  set(ImGuiCol_ScrollbarGrab, mix(colours.panel, colours.text, 0.18));
  set(ImGuiCol_ScrollbarGrabHovered, mix(colours.panel, colours.text, 0.28));
  set(ImGuiCol_ScrollbarGrabActive, mix(colours.panel, colours.text, 0.36));
  set(ImGuiCol_Header, with_alpha(colours.accent, 0.20));
  set(ImGuiCol_HeaderHovered, with_alpha(colours.accent, 0.12));
  set(ImGuiCol_HeaderActive, with_alpha(colours.accent, 0.28));
  set(ImGuiCol_TableHeaderBg, mix(colours.panel, colours.text, 0.05));
  set(ImGuiCol_TableBorderStrong, colours.border);
  set(ImGuiCol_TableBorderLight, colours.grid);
  set(ImGuiCol_TableRowBg, none);
  set(ImGuiCol_TableRowBgAlt, with_alpha(colours.text, 0.02));
  const Colour field = mix(colours.panel, colours.text, 0.08);
  set(ImGuiCol_FrameBg, field);
  set(ImGuiCol_FrameBgHovered, mix(colours.panel, colours.text, 0.12));
  set(ImGuiCol_FrameBgActive, mix(colours.panel, colours.text, 0.16));
  // The value is written across it.
  set(ImGuiCol_SliderGrab, with_alpha(colours.accent, 0.45));
  set(ImGuiCol_SliderGrabActive, with_alpha(colours.accent, 0.6));
  set(ImGuiCol_CheckMark, colours.accent);
  set(ImGuiCol_Button, field);
  set(ImGuiCol_ButtonHovered, with_alpha(colours.accent, 0.30));
  set(ImGuiCol_ButtonActive, with_alpha(colours.accent, 0.45));
  set(ImGuiCol_Tab, none);
  set(ImGuiCol_TabHovered, with_alpha(colours.accent, 0.25));
  set(ImGuiCol_TabActive, with_alpha(colours.accent, 0.20));
  set(ImGuiCol_TabUnfocused, none);
  set(ImGuiCol_TabUnfocusedActive, with_alpha(colours.accent, 0.20));
  set(ImGuiCol_TextSelectedBg, with_alpha(colours.accent, 0.35));
  set(ImGuiCol_Separator, colours.border);
  set(ImGuiCol_SeparatorHovered, colours.accent);
  set(ImGuiCol_SeparatorActive, colours.accent);
  set(ImGuiCol_NavHighlight, with_alpha(colours.accent, 0.0));
  ImGui::GetStyle() = style;
}

float text_width(ImFont* font, std::string_view text) {
  return font->CalcTextSizeA(font->FontSize, FLT_MAX, 0.0F, text.data(), text.data() + text.size())
      .x;
}

float draw_text(ImDrawList* list, ImFont* font, ImVec2 at, Colour colour, std::string_view text,
                Align align) {
  if (text.empty()) return 0.0F;
  const float width = text_width(font, text);
  if (align == Align::kRight) at.x -= width;
  if (align == Align::kCentre) at.x -= width / 2;
  list->AddText(font, font->FontSize, {std::floor(at.x), std::floor(at.y)}, to_u32(colour),
                text.data(), text.data() + text.size());
  return width;
}

std::string elide(ImFont* font, std::string_view text, float width) {
  if (text_width(font, text) <= width) return std::string(text);
  const float room = width - text_width(font, "...");
  const char* end = nullptr;
  if (room > 0) {
    font->CalcTextSizeA(font->FontSize, room, 0.0F, text.data(), text.data() + text.size(), &end);
  }
  const size_t kept = end == nullptr ? 0 : static_cast<size_t>(end - text.data());
  return std::string(text.substr(0, kept)) + "...";
}

void text_coloured(Colour colour, std::string_view text) {
  ImGui::PushStyleColor(ImGuiCol_Text, to_u32(colour));
  ImGui::TextUnformatted(text.data(), text.data() + text.size());
  ImGui::PopStyleColor();
}

}  // namespace tidemark::viewer
