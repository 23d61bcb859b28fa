// A Dear ImGui context for as long as this lives. Main thread.
#pragma once

#include <imgui.h>

namespace tidemark::viewer {

struct ImGuiScope {
  ImGuiScope() {
    ImGui::CreateContext();
    ImGui::GetIO().IniFilename = nullptr;  // nothing is left behind in the user's folder
    ImGui::GetIO().LogFilename = nullptr;
  }
  ~ImGuiScope() { ImGui::DestroyContext(); }
  ImGuiScope(const ImGuiScope&) = delete;
  ImGuiScope& operator=(const ImGuiScope&) = delete;
};

}  // namespace tidemark::viewer
