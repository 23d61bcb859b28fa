#include "tidemark/viewer/workspace.h"

#include <algorithm>
#include <cmath>

#include "tidemark/viewer/input.h"

namespace tidemark::viewer {
namespace {

constexpr const char* kHints =
    "wheel zoom  \u00b7  drag pan  \u00b7  click cursor  \u00b7  A D W S move  \u00b7  F all  "
    "\u00b7  P peak  \u00b7  , . previous and next change  \u00b7  T theme  \u00b7  Ctrl+Q quit";

// A panel's ground, with its padding; end_card() closes it.
void begin_card(const PanelContext& context, const char* id, float height) {
  const float em = context.fonts.regular->FontSize;
  ImGui::PushStyleColor(ImGuiCol_ChildBg, to_vec4(context.colours().panel));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {std::floor(em * 0.9F), std::floor(em * 0.65F)});
  ImGui::BeginChild(id, {0, height}, false,
                    ImGuiWindowFlags_AlwaysUseWindowPadding | ImGuiWindowFlags_NoScrollWithMouse |
                        ImGuiWindowFlags_NoScrollbar);
  ImGui::PopStyleVar();
  ImGui::PopStyleColor();
}

void end_card() { ImGui::EndChild(); }

void begin_whole_display(float margin) {
  ImGui::SetNextWindowPos({0, 0});
  ImGui::SetNextWindowSize(ImGui::GetIO().DisplaySize);
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {margin, margin});
  ImGui::Begin("tidemark", nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove |
                   ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoScrollWithMouse |
                   ImGuiWindowFlags_NoBringToFrontOnFocus | ImGuiWindowFlags_NoNavInputs);
  ImGui::PopStyleVar();
}

}  // namespace

std::optional<PanelName> panel_from(std::string_view name) {
  if (name == "all") return PanelName::kAll;
  if (name == "timeline") return PanelName::kTimeline;
  if (name == "live") return PanelName::kLive;
  if (name == "summary") return PanelName::kSummary;
  return std::nullopt;
}

void Workspace::draw(const PanelContext& context) {
  const float em = context.fonts.regular->FontSize;
  if (key_pressed(kKeyT) && !ImGui::GetIO().WantTextInput) {
    context.state.theme = context.state.theme == Theme::kDark ? Theme::kLight : Theme::kDark;
  }
  ImGui::PushFont(context.fonts.regular);
  begin_whole_display(std::floor(em * 0.5F));
  const float room = ImGui::GetContentRegionAvail().y;
  switch (only_) {
    case PanelName::kAll:
      draw_all(context);
      break;
    case PanelName::kTimeline:
      begin_card(context, "timeline", room);
      timeline_.draw(context, ImGui::GetContentRegionAvail().y);
      end_card();
      break;
    case PanelName::kLive:
      begin_card(context, "live", room);
      live_.draw(context);
      end_card();
      break;
    case PanelName::kSummary:
      begin_card(context, "summary", room);
      draw_summary(context);
      end_card();
      break;
  }
  ImGui::End();
  ImGui::PopFont();
}

void Workspace::draw_all(const PanelContext& context) {
  const Fonts& fonts = context.fonts;
  const float em = fonts.regular->FontSize;
  ImGui::PushStyleVar(ImGuiStyleVar_ItemSpacing, {em * 0.5F, std::floor(em * 0.4F)});
  draw_summary(context);
  const float hints = fonts.small->FontSize * 1.2F;
  const float gap = ImGui::GetStyle().ItemSpacing.y;
  const float splitter = std::floor(em * 0.4F);
  const float room =
      std::max(ImGui::GetContentRegionAvail().y - hints - splitter - gap * 3.0F, em * 8.0F);
  const float timeline = std::floor(room * timeline_share_);
  begin_card(context, "timeline", timeline);
  timeline_.draw(context, ImGui::GetContentRegionAvail().y);
  end_card();
  draw_splitter(context, room);
  begin_card(context, "live", room - timeline);
  ImGui::PopStyleVar();
  live_.draw(context);
  end_card();

  const ImVec2 at = ImGui::GetCursorScreenPos();
  draw_text(ImGui::GetWindowDrawList(), fonts.small, {at.x + em * 0.9F, at.y},
            with_alpha(context.colours().text_dim, 0.8),
            elide(fonts.small, kHints, ImGui::GetContentRegionAvail().x - em));
}

void Workspace::draw_splitter(const PanelContext& context, float room) {
  const float height = std::floor(context.fonts.regular->FontSize * 0.4F);
  ImGui::InvisibleButton("splitter", {std::max(ImGui::GetContentRegionAvail().x, 1.0F), height});
  const bool touched = ImGui::IsItemHovered() || ImGui::IsItemActive();
  if (touched) ImGui::SetMouseCursor(ImGuiMouseCursor_ResizeNS);
  if (ImGui::IsItemActive() && room > 0) {
    timeline_share_ = std::clamp(timeline_share_ + ImGui::GetIO().MouseDelta.y / room, 0.2F, 0.85F);
  }
  const ImVec2 min = ImGui::GetItemRectMin();
  const ImVec2 max = ImGui::GetItemRectMax();
  const float middle = (min.x + max.x) / 2;
  const Colour colour = touched ? context.colours().accent : context.colours().border;
  ImGui::GetWindowDrawList()->AddRectFilled({middle - height * 4, min.y + height * 0.3F},
                                            {middle + height * 4, max.y - height * 0.3F},
                                            to_u32(colour), height);
}

void draw_loading(const Fonts& fonts, Theme theme, std::string_view path) {
  ImGui::PushFont(fonts.regular);
  begin_whole_display(0);
  const ImVec2 size = ImGui::GetIO().DisplaySize;
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float em = fonts.regular->FontSize;
  draw_text(list, fonts.title, {size.x / 2, size.y / 2 - em * 2}, palette(theme).text, "Reading",
            Align::kCentre);
  draw_text(list, fonts.regular, {size.x / 2, size.y / 2}, palette(theme).text_dim,
            elide(fonts.regular, path, size.x - em * 2), Align::kCentre);
  ImGui::End();
  ImGui::PopFont();
}

}  // namespace tidemark::viewer
