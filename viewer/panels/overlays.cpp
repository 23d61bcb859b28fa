#include "tidemark/viewer/overlays.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>

#include "tidemark/viewer/input.h"

namespace tidemark::viewer {
namespace {

struct Key {
  const char* keys;
  const char* does;
};
constexpr std::array<Key, 26> kKeys = {
    {{"wheel", "zoom about the mouse"},
     {"W  S", "zoom in, out"},
     {"drag, A  D", "pan"},
     {"Shift + wheel", "scroll the tracks"},
     {"click a curve", "cursor at its highest moment there"},
     {"click a block, kernel, copy", "its details"},
     {"click an iteration, phase, range", "select that range"},
     {"Shift + drag", "select a range from A to B"},
     {"F", "frame what is chosen, else all"},
     {"double click", "all"},
     {"P", "peak of the selected series"},
     {",  .", "previous, next change, block or kernel"},
     {"Alt + Left, Right", "back, forward"},
     {"C", "colour by category, layer, series"},
     {"Ctrl + C", "copy the panel below as text"},
     {"Ctrl + E, G", "export the panel as CSV, the window as PNG"},
     {"Ctrl + click a frame", "open it in an editor"},
     {"B", "blocks at their addresses, or packed by size"},
     {"/", "search"},
     {"Ctrl + K", "every command by name"},
     {"right click on a name", "pin, move, hide tracks"},
     {"Esc", "let go of what is chosen"},
     {"Ctrl + O", "open another trace; or drop it here"},
     {"T", "light or dark"},
     {"Ctrl + -  =", "smaller, larger"},
     {"Ctrl + Q", "quit"}}};

// How far apart the letters lie; none: they are not all there in this order.
std::optional<size_t> spread(std::string_view text, std::string_view letters) {
  const auto low = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  size_t at = 0;
  size_t first = 0;
  for (size_t i = 0; i < letters.size(); ++i) {
    while (at < text.size() && low(text[at]) != low(letters[i])) ++at;
    if (at == text.size()) return std::nullopt;
    if (i == 0) first = at;
    ++at;
  }
  return letters.empty() ? 0 : at - first + first / 4;
}

// A window in the middle of the display, over all others.
void begin_overlay(const PanelContext& context, const char* id, float width, float height) {
  const ImVec2 display = ImGui::GetIO().DisplaySize;
  const float em = context.fonts.regular->FontSize;
  const float w = std::min(width, std::max(display.x - em, 1.0F));
  const float h = std::min(height, std::max(display.y - em, 1.0F));
  ImGui::SetNextWindowPos({std::floor((display.x - w) / 2), std::floor((display.y - h) / 3)});
  ImGui::SetNextWindowSize({w, h});
  ImGui::PushStyleColor(ImGuiCol_WindowBg,
                        to_vec4(mix(context.colours().panel, context.colours().text, 0.05)));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {em, em * 0.8F});
  ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 1.0F);
  ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, 7.0F);
  ImGui::Begin(id, nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove |
                   ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoNavInputs);
  ImGui::PopStyleVar(3);
  ImGui::PopStyleColor();
}

}  // namespace

std::vector<size_t> match_commands(const std::vector<Command>& commands, std::string_view letters) {
  std::vector<std::pair<size_t, size_t>> found;
  for (size_t i = 0; i < commands.size(); ++i) {
    if (const auto far = spread(commands[i].name, letters)) found.emplace_back(*far, i);
  }
  std::sort(found.begin(), found.end());
  std::vector<size_t> order;
  for (const auto& [far, index] : found) order.push_back(index);
  return order;
}

void CommandPalette::open() {
  open_ = true;
  focus_ = true;
  selected_ = 0;
  letters_[0] = '\0';
}

void CommandPalette::draw(const PanelContext& context, const std::vector<Command>& commands) {
  if (!open_) return;
  const float em = context.fonts.regular->FontSize;
  ImGui::PushFont(context.fonts.regular);
  begin_overlay(context, "commands", em * 36, em * 24);
  if (focus_) {
    ImGui::SetKeyboardFocusHere();
    ImGui::SetWindowFocus();
  }
  focus_ = false;
  ImGui::SetNextItemWidth(-1);
  if (ImGui::InputTextWithHint("##letters", "type a command", letters_.data(), letters_.size())) {
    selected_ = 0;
  }
  const std::vector<size_t> order = match_commands(commands, letters_.data());
  if (key_pressed(kKeyDown) && selected_ + 1 < order.size()) ++selected_;
  if (key_pressed(kKeyUp) && selected_ > 0) --selected_;
  std::optional<size_t> chosen;
  if (key_pressed(kKeyEnter) && selected_ < order.size()) chosen = order[selected_];
  ImGui::BeginChild("list", {0, 0}, false);
  for (size_t i = 0; i < order.size(); ++i) {
    const Command& command = commands[order[i]];
    ImGui::PushID(static_cast<int>(order[i]));
    if (ImGui::Selectable(command.name.c_str(), i == selected_)) chosen = order[i];
    ImGui::PopID();
    if (command.keys.empty()) continue;
    ImGui::SameLine(std::max(ImGui::GetWindowWidth() - em * 8, em));
    text_coloured(context.colours().text_dim, command.keys);
  }
  ImGui::EndChild();
  ImGui::End();
  ImGui::PopFont();
  if (key_pressed(kKeyEscape) || chosen) open_ = false;
  if (chosen) commands[*chosen].run();
}

void draw_help(const PanelContext& context, bool* open) {
  if (!*open) return;
  const float em = context.fonts.regular->FontSize;
  ImGui::PushFont(context.fonts.regular);
  begin_overlay(context, "help", em * 40, em * 38);
  ImGui::PushFont(context.fonts.title);
  ImGui::TextUnformatted("Mouse and keys");
  ImGui::PopFont();
  ImGui::Dummy({0, em * 0.3F});
  for (const Key& key : kKeys) {
    text_coloured(context.colours().accent, key.keys);
    ImGui::SameLine(em * 17);
    ImGui::TextUnformatted(key.does);
  }
  ImGui::Dummy({0, em * 0.3F});
  ImGui::PushTextWrapPos(0);
  text_coloured(
      context.colours().text_dim,
      "Layers hold each other and are never added up: pool lies in driver, heap partly in "
      "os. Every pixel column shows the exact highest value within its span.");
  ImGui::PopTextWrapPos();
  ImGui::End();
  ImGui::PopFont();
  if (key_pressed(kKeyEscape)) *open = false;
}

}  // namespace tidemark::viewer
