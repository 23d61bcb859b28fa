// Small things that several panels draw: facts, links to blocks, call stacks, shares.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

struct TableColumn {
  const char* title;
  float ems = 0;  // wide; 0: what the others leave
  ImGuiTableColumnFlags flags = ImGuiTableColumnFlags_None;
  ImGuiID id = 0;
};
inline constexpr float kTheRest = 0;
// A table that scrolls below its headings, `size` large (0: what is left); EndTable() where it is
// true. `more`: beside the flags that all have.
bool begin_table(const char* id, std::initializer_list<TableColumn> columns, ImVec2 size = {0, 0},
                 ImGuiTableFlags more = ImGuiTableFlags_None);
// Asks for those of `count` rows that are in view; `row` begins with its first cell's content.
void visible_rows(size_t count, const std::function<void(size_t)>& row);

std::string plural(uint64_t count, const char* noun);
std::string signed_bytes(int64_t bytes);  // "+1.50 GiB"
void right_aligned(const std::string& text);
// At the right of the cell: more is a warning, less is good.
void coloured_growth(const PanelContext& context, int64_t bytes);
// A bar of this share of the column, and the share in words.
void share_bar(const PanelContext& context, double share, Colour colour);
// "name   value   more", each in its place on one line.
void fact_line(const PanelContext& context, std::string_view name, std::string_view value,
               std::string_view more = {});
// A part of a panel with a ground of its own, which scrolls by itself; EndChild() closes it.
void begin_well(const PanelContext& context, const char* id, ImVec2 size);
// A heading within a panel.
void heading(const PanelContext& context, std::string_view text, std::string_view more = {});
// A line that can be clicked, over the whole row of a table; true when it was.
bool row_button(int id, bool selected, const std::string& text);
// Size, what and when; a click goes there. For tables of three columns.
void block_row(const PanelContext& context, const BlockLink& link);
// One frame a line, innermost first; hovering tells all, a click copies FILE:LINE.
void stack_lines(const PanelContext& context, const StackText& stack);
// In the middle of what is left of the panel.
void placeholder(const PanelContext& context, std::string_view text);

}  // namespace tidemark::viewer
