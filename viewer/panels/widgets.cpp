#include "widgets.h"

#include <fmt/format.h>

#include <algorithm>

#include "tidemark/viewer/format.h"
#include "tidemark/viewer/navigation.h"

namespace tidemark::viewer {

bool begin_table(const char* id, std::initializer_list<TableColumn> columns, ImVec2 size,
                 ImGuiTableFlags more) {
  constexpr ImGuiTableFlags kAlways = ImGuiTableFlags_ScrollY | ImGuiTableFlags_RowBg |
                                      ImGuiTableFlags_BordersInnerV | ImGuiTableFlags_PadOuterX |
                                      ImGuiTableFlags_NoSavedSettings;
  if (!ImGui::BeginTable(id, static_cast<int>(columns.size()), kAlways | more, size)) return false;
  const float em = ImGui::GetFontSize();
  ImGui::TableSetupScrollFreeze(0, 1);
  for (const TableColumn& column : columns) {
    const bool rest = column.ems == kTheRest;
    ImGui::TableSetupColumn(column.title,
                            column.flags | (rest ? ImGuiTableColumnFlags_WidthStretch
                                                 : ImGuiTableColumnFlags_WidthFixed),
                            rest ? 1.0F : em * column.ems, column.id);
  }
  ImGui::TableHeadersRow();
  return true;
}

void visible_rows(size_t count, const std::function<void(size_t)>& row) {
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(count));
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      ImGui::TableNextRow();
      ImGui::TableNextColumn();
      row(static_cast<size_t>(i));
    }
  }
}

std::string plural(uint64_t count, const char* noun) {
  return fmt::format("{} {}{}", format_count(count), noun, count == 1 ? "" : "s");
}

std::string signed_bytes(int64_t bytes) { return (bytes > 0 ? "+" : "") + format_bytes(bytes); }

void right_aligned(const std::string& text) {
  const float room = ImGui::GetContentRegionAvail().x - ImGui::CalcTextSize(text.c_str()).x;
  if (room > 0) ImGui::SetCursorPosX(ImGui::GetCursorPosX() + room);
  ImGui::TextUnformatted(text.c_str());
}

void coloured_growth(const PanelContext& context, int64_t bytes) {
  const Palette& colours = context.colours();
  const Colour colour = bytes > 0 ? colours.warning : bytes < 0 ? colours.good : colours.text_dim;
  ImGui::PushStyleColor(ImGuiCol_Text, to_u32(colour));
  right_aligned(signed_bytes(bytes));
  ImGui::PopStyleColor();
}

void share_bar(const PanelContext& context, double share, Colour colour) {
  const ImVec2 at = ImGui::GetCursorScreenPos();
  const float width = ImGui::GetContentRegionAvail().x;
  const float height = ImGui::GetTextLineHeight();
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float filled = std::max(1.0F, width * static_cast<float>(std::clamp(share, 0.0, 1.0)));
  list->AddRectFilled({at.x, at.y + height * 0.12F}, {at.x + filled, at.y + height * 0.92F},
                      to_u32(with_alpha(colour, 0.38)), 2.0F);
  draw_text(list, context.fonts.regular, {at.x + width, at.y}, context.colours().text,
            format_percent(share), Align::kRight);
  ImGui::Dummy({width, height});
}

void fact_line(const PanelContext& context, std::string_view name, std::string_view value,
               std::string_view more) {
  if (value.empty()) return;
  text_coloured(context.colours().text_dim, name);
  ImGui::SameLine(context.fonts.regular->FontSize * 7.5F);
  ImGui::TextUnformatted(value.data(), value.data() + value.size());
  if (more.empty()) return;
  ImGui::SameLine(0, context.fonts.regular->FontSize * 0.7F);
  text_coloured(context.colours().text_dim, more);
}

void begin_well(const PanelContext& context, const char* id, ImVec2 size) {
  const float em = ImGui::GetFontSize();
  ImGui::PushStyleColor(ImGuiCol_ChildBg, to_vec4(context.colours().plot));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {em * 0.8F, em * 0.5F});
  ImGui::BeginChild(id, size, false, ImGuiWindowFlags_AlwaysUseWindowPadding);
  ImGui::PopStyleVar();
  ImGui::PopStyleColor();
}

void heading(const PanelContext& context, std::string_view text, std::string_view more) {
  ImGui::Dummy({0, context.fonts.regular->FontSize * 0.2F});
  ImGui::PushFont(context.fonts.bold);
  ImGui::TextUnformatted(text.data(), text.data() + text.size());
  ImGui::PopFont();
  if (more.empty()) return;
  ImGui::SameLine(0, context.fonts.regular->FontSize * 0.8F);
  text_coloured(context.colours().text_dim, more);
}

bool row_button(int id, bool selected, const std::string& text) {
  ImGui::PushID(id);
  const float left = ImGui::GetCursorPosX();
  const bool clicked = ImGui::Selectable(
      "##row", selected,
      ImGuiSelectableFlags_SpanAllColumns | ImGuiSelectableFlags_AllowItemOverlap);
  ImGui::PopID();
  ImGui::SameLine();
  ImGui::SetCursorPosX(left);
  right_aligned(text);
  return clicked;
}

void block_row(const PanelContext& context, const BlockLink& link) {
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  const bool chosen = context.state.choice.block == link.id;
  if (row_button(static_cast<int>(link.id), chosen,
                 format_bytes(static_cast<int64_t>(link.bytes)))) {
    Choice choice;
    choice.block = link.id;
    choice.block_series = link.series;
    choice.block_ns = link.alloc_ns;
    jump_to(context.state, choice, link.alloc_ns, link.free_ns);
  }
  ImGui::TableNextColumn();
  ImGui::TextUnformatted(link.what.c_str());
  ImGui::TableNextColumn();
  text_coloured(context.colours().text_dim, fmt::format("0x{:x}", link.address));
}

void stack_lines(const PanelContext& context, const StackText& stack) {
  const Palette& colours = context.colours();
  const float em = ImGui::GetFontSize();
  if (stack.frames.empty()) {
    text_coloured(colours.text_dim, "No call stack was recorded");
    return;
  }
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(stack.frames.size()));
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      const trace::Frame& frame = stack.frames[static_cast<size_t>(i)];
      const bool python = frame.kind == trace::FrameKind::kPython;
      const std::string name = frame.function.empty() ? fmt::format("[{}]", base_name(frame.module))
                                                      : short_function(frame.function);
      ImGui::BeginGroup();
      text_coloured(python ? colours.accent : colours.text, name);
      ImGui::SameLine(0, em * 0.7F);
      text_coloured(colours.text_dim, frame_place(frame) + (frame.inlined ? "  inlined" : ""));
      ImGui::EndGroup();
      if (ImGui::IsItemClicked() && !frame.file.empty()) {
        ImGui::SetClipboardText(fmt::format("{}:{}", frame.file, frame.line).c_str());
        if (ImGui::GetIO().KeyCtrl) context.state.wanted_source = {frame.file, frame.line};
      }
      if (!ImGui::IsItemHovered()) continue;
      ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {12, 9});
      ImGui::BeginTooltip();
      ImGui::PushTextWrapPos(em * 48.0F);
      ImGui::TextUnformatted(frame.function.c_str());
      if (!frame.file.empty()) {
        ImGui::TextUnformatted(fmt::format("{}:{}", frame.file, frame.line).c_str());
        text_coloured(colours.text_dim, "click copies this, Ctrl+click opens it in an editor");
      }
      ImGui::TextUnformatted(frame.module.c_str());
      ImGui::PopTextWrapPos();
      ImGui::EndTooltip();
      ImGui::PopStyleVar();
    }
  }
}

void placeholder(const PanelContext& context, std::string_view text) {
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float width = std::min(text_width(context.fonts.regular, text), room.x);
  ImGui::SetCursorPos({ImGui::GetCursorPosX() + std::max((room.x - width) / 2, 0.0F),
                       ImGui::GetCursorPosY() + std::max(room.y / 2 - ImGui::GetFontSize(), 0.0F)});
  text_coloured(context.colours().text_dim, text);
}

}  // namespace tidemark::viewer
