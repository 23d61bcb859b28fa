// Letter keys by name. Dear ImGui before 1.87 has no names for most letters; there its GLFW backend
// hands keys through as GLFW's codes, which are ASCII for letters and punctuation.
#pragma once

#include <imgui.h>

namespace tidemark::viewer {

#if IMGUI_VERSION_NUM >= 18700
using KeyCode = ImGuiKey;
inline constexpr KeyCode kKeyA = ImGuiKey_A;
inline constexpr KeyCode kKeyB = ImGuiKey_B;
inline constexpr KeyCode kKeyC = ImGuiKey_C;
inline constexpr KeyCode kKeyD = ImGuiKey_D;
inline constexpr KeyCode kKeyE = ImGuiKey_E;
inline constexpr KeyCode kKeyF = ImGuiKey_F;
inline constexpr KeyCode kKeyG = ImGuiKey_G;
inline constexpr KeyCode kKeyK = ImGuiKey_K;
inline constexpr KeyCode kKeyO = ImGuiKey_O;
inline constexpr KeyCode kKeyP = ImGuiKey_P;
inline constexpr KeyCode kKeyS = ImGuiKey_S;
inline constexpr KeyCode kKeyT = ImGuiKey_T;
inline constexpr KeyCode kKeyW = ImGuiKey_W;
inline constexpr KeyCode kKeyComma = ImGuiKey_Comma;
inline constexpr KeyCode kKeyPeriod = ImGuiKey_Period;
inline constexpr KeyCode kKeySlash = ImGuiKey_Slash;
inline constexpr KeyCode kKeyMinus = ImGuiKey_Minus;
inline constexpr KeyCode kKeyPlus = ImGuiKey_Equal;
inline constexpr KeyCode kKeyEscape = ImGuiKey_Escape;
inline constexpr KeyCode kKeyEnter = ImGuiKey_Enter;
inline constexpr KeyCode kKeyUp = ImGuiKey_UpArrow;
inline constexpr KeyCode kKeyDown = ImGuiKey_DownArrow;
inline constexpr KeyCode kKeyLeft = ImGuiKey_LeftArrow;
inline constexpr KeyCode kKeyRight = ImGuiKey_RightArrow;
#else
using KeyCode = int;
inline constexpr KeyCode kKeyA = 'A';
inline constexpr KeyCode kKeyB = 'B';
inline constexpr KeyCode kKeyC = 'C';
inline constexpr KeyCode kKeyD = 'D';
inline constexpr KeyCode kKeyE = 'E';
inline constexpr KeyCode kKeyF = 'F';
inline constexpr KeyCode kKeyG = 'G';
inline constexpr KeyCode kKeyK = 'K';
inline constexpr KeyCode kKeyO = 'O';
inline constexpr KeyCode kKeyP = 'P';
inline constexpr KeyCode kKeyS = 'S';
inline constexpr KeyCode kKeyT = 'T';
inline constexpr KeyCode kKeyW = 'W';
inline constexpr KeyCode kKeyComma = ',';
inline constexpr KeyCode kKeyPeriod = '.';
inline constexpr KeyCode kKeySlash = '/';
inline constexpr KeyCode kKeyMinus = '-';
inline constexpr KeyCode kKeyPlus = '=';
inline constexpr KeyCode kKeyEscape = 256;
inline constexpr KeyCode kKeyEnter = 257;
inline constexpr KeyCode kKeyUp = 265;
inline constexpr KeyCode kKeyDown = 264;
inline constexpr KeyCode kKeyLeft = 263;
inline constexpr KeyCode kKeyRight = 262;
#endif

inline bool any_key_held() {
#if IMGUI_VERSION_NUM >= 18700
  for (int key = ImGuiKey_NamedKey_BEGIN; key < ImGuiKey_NamedKey_END; ++key) {
    if (ImGui::IsKeyDown(static_cast<ImGuiKey>(key))) return true;
  }
#else
  for (const bool down : ImGui::GetIO().KeysDown) {
    if (down) return true;
  }
#endif
  return false;
}

inline bool key_held(KeyCode key) { return ImGui::IsKeyDown(key); }
// Once when pressed, then repeated while held.
inline bool key_pressed(KeyCode key) { return ImGui::IsKeyPressed(key); }

}  // namespace tidemark::viewer
