#include "tidemark/viewer/live_panel.h"

#include <fmt/format.h>

#include <algorithm>

#include "tidemark/viewer/format.h"
#include "widgets.h"

namespace tidemark::viewer {
void LivePanel::draw(const PanelContext& context) {
  const ViewState& state = context.state;
  if (context.document.find(state.selected) == nullptr) {
    text_coloured(context.colours().text_dim, "Nothing to list");
    return;
  }
  context.live.request(state.selected, state.cursor_ns);
  table_.set_answer(context.live.latest());
  draw_title(context);

  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float em = ImGui::GetFontSize();
  const float gap = ImGui::GetStyle().ItemSpacing.x;
  // Beside the table where there is room to read both, else below it.
  if (room.x > em * 75.0F || room.y < em * 16.0F) {
    const float table = std::floor(room.x * 0.62F);
    draw_table(context, {table, room.y});
    ImGui::SameLine();
    draw_stack(context, {room.x - table - gap, room.y});
  } else {
    const float table = std::floor(room.y * 0.58F);
    draw_table(context, {room.x, table});
    draw_stack(context, {room.x, room.y - table - gap});
  }
}

void LivePanel::draw_title(const PanelContext& context) const {
  const Palette& colours = context.colours();
  const ViewState& state = context.state;
  ImGui::PushFont(context.fonts.bold);
  ImGui::TextUnformatted("Live in");
  ImGui::SameLine(0, ImGui::GetFontSize() * 0.4F);
  text_coloured(series_colour(state.selected, state.theme), analyzer::series_text(state.selected));
  ImGui::SameLine(0, ImGui::GetFontSize() * 0.4F);
  ImGui::TextUnformatted(fmt::format("at {}", format_time(state.cursor_ns)).c_str());
  ImGui::PopFont();
  ImGui::SameLine(0, ImGui::GetFontSize());

  const LiveAnswer* answer = table_.answer();
  const bool current =
      answer != nullptr && answer->series == state.selected && answer->time_ns == state.cursor_ns;
  if (!current) {
    text_coloured(colours.text_dim, "looking up ...");
  } else if (!answer->error.empty()) {
    text_coloured(colours.bad, answer->error);
  } else {
    text_coloured(
        colours.text_dim,
        fmt::format("{}  \u00b7  {}  \u00b7  {}", format_bytes(static_cast<int64_t>(answer->bytes)),
                    plural(answer->count, "block"), plural(answer->rows.size(), "call stack")));
  }
}

void LivePanel::draw_table(const PanelContext& context, ImVec2 size) {
  const float em = ImGui::GetFontSize();
  const float tight = size.x < em * 45.0F ? 0.78F : 1.0F;  // leave the stacks room
  constexpr auto kDescending = ImGuiTableColumnFlags_PreferSortDescending;
  const auto id = [](LiveColumn column) { return static_cast<ImGuiID>(column); };
  if (!begin_table("live",
                   {{"Bytes", 6.0F * tight, ImGuiTableColumnFlags_DefaultSort | kDescending,
                     id(LiveColumn::kBytes)},
                    {"Share", 7.0F * tight, ImGuiTableColumnFlags_NoSort},
                    {"Blocks", 4.6F * tight, kDescending, id(LiveColumn::kCount)},
                    {"Call", 6.5F * tight, ImGuiTableColumnFlags_None, id(LiveColumn::kApi)},
                    {"Allocated at", kTheRest, ImGuiTableColumnFlags_None, id(LiveColumn::kStack)}},
                   size, ImGuiTableFlags_Sortable | ImGuiTableFlags_Resizable)) {
    return;
  }
  if (ImGuiTableSortSpecs* specs = ImGui::TableGetSortSpecs();
      specs != nullptr && specs->SpecsCount > 0) {
    const ImGuiTableColumnSortSpecs& spec = specs->Specs[0];
    table_.sort_by(static_cast<LiveColumn>(spec.ColumnUserID),
                   spec.SortDirection == ImGuiSortDirection_Descending);
  }
  visible_rows(table_.size(), [&](size_t position) { draw_row(context, position); });
  ImGui::EndTable();
}

void LivePanel::draw_row(const PanelContext& context, size_t position) {
  const LiveRow& row = table_.row(position);
  if (row_button(static_cast<int>(position), table_.selected() == position,
                 format_bytes(static_cast<int64_t>(row.bytes)))) {
    table_.select(position);
  }
  ImGui::TableNextColumn();
  share_bar(context, row.share, series_colour(table_.answer()->series, context.state.theme));
  ImGui::TableNextColumn();
  right_aligned(format_count(row.count));
  ImGui::TableNextColumn();
  text_coloured(context.colours().text_dim, row.api);
  ImGui::TableNextColumn();
  ImGui::TextUnformatted(row.text->caption.c_str());
}

void LivePanel::draw_stack(const PanelContext& context, ImVec2 size) const {
  const Palette& colours = context.colours();
  begin_well(context, "stack", size);
  if (table_.selected()) {
    const LiveRow& row = table_.row(*table_.selected());
    ImGui::PushFont(context.fonts.bold);
    ImGui::TextUnformatted(format_bytes(static_cast<int64_t>(row.bytes)).c_str());
    ImGui::PopFont();
    ImGui::SameLine();
    text_coloured(
        colours.text_dim,
        fmt::format("{}  \u00b7  {} by {}", format_bytes_exact(static_cast<int64_t>(row.bytes)),
                    plural(row.count, "block"), row.api.empty() ? "?" : row.api));
    ImGui::Dummy({0, ImGui::GetFontSize() * 0.15F});
    stack_lines(context, *row.text);
  }
  ImGui::EndChild();
}

}  // namespace tidemark::viewer
