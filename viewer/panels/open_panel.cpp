#include "tidemark/viewer/open_panel.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tidemark/viewer/input.h"

namespace tidemark::viewer {

void OpenPanel::open(std::vector<std::string> recent, std::vector<std::string> here) {
  recent_ = std::move(recent);
  here_ = std::move(here);
  path_[0] = '\0';
  open_ = true;
  focus_ = true;
}

std::optional<std::string> OpenPanel::draw(const Fonts& fonts, Theme theme) {
  if (!open_) return std::nullopt;
  const Palette& colours = palette(theme);
  const ImVec2 display = ImGui::GetIO().DisplaySize;
  const float em = fonts.regular->FontSize;
  const float width = std::max(std::min(em * 44, display.x - em), 1.0F);
  const float height = std::max(std::min(em * 26, display.y - em), 1.0F);
  std::optional<std::string> chosen;
  ImGui::PushFont(fonts.regular);
  ImGui::SetNextWindowPos({std::floor((display.x - width) / 2), std::floor(display.y * 0.12F)});
  ImGui::SetNextWindowSize({width, height});
  ImGui::PushStyleColor(ImGuiCol_WindowBg, to_vec4(mix(colours.panel, colours.text, 0.05)));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {em, em * 0.8F});
  ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, 7.0F);
  ImGui::Begin("open", nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove |
                   ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoNavInputs);
  ImGui::PopStyleVar(2);
  ImGui::PopStyleColor();
  if (focus_) {
    ImGui::SetKeyboardFocusHere();
    ImGui::SetWindowFocus();
  }
  focus_ = false;
  ImGui::SetNextItemWidth(-1);
  ImGui::InputTextWithHint("##path", "path of a trace, then Enter; or drop a file onto the window",
                           path_.data(), path_.size());
  if (key_pressed(kKeyEnter) && path_[0] != '\0') chosen = path_.data();
  ImGui::BeginChild("files", {0, 0});
  const auto list = [&](const char* title, const std::vector<std::string>& paths) {
    if (paths.empty()) return;
    text_coloured(colours.text_dim, title);
    for (const std::string& path : paths) {
      ImGui::PushID(title);
      if (ImGui::Selectable(path.c_str())) chosen = path;
      ImGui::PopID();
    }
    ImGui::Dummy({0, em * 0.4F});
  };
  list("Looked at last", recent_);
  list("In this folder", here_);
  ImGui::EndChild();
  ImGui::End();
  ImGui::PopFont();
  if (key_pressed(kKeyEscape) || chosen) open_ = false;
  return chosen;
}

}  // namespace tidemark::viewer
