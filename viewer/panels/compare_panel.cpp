#include "tidemark/viewer/compare_panel.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "tidemark/viewer/csv.h"
#include "tidemark/viewer/format.h"
#include "widgets.h"

namespace tidemark::viewer {

namespace {

constexpr std::array kGroupings = {"by line of code", "by layer of the model", "by category",
                                   "by call stack"};

std::string percent(int64_t change, int64_t before) {
  if (before == 0) return "new";
  return fmt::format("{:+.1f} %", static_cast<double>(change) / static_cast<double>(before) * 100);
}

std::string row_name(const analyzer::DiffRow& row, DiffGrouping grouping) {
  if (grouping == DiffGrouping::kLayer && row.name.empty()) return "no layer";
  return grouping == DiffGrouping::kStack ? stack_text(row.stack) : row.name;
}

void draw_peaks(const PanelContext& context, const Comparison& comparison, ImVec2 size) {
  if (!begin_table("compare",
                   {{"Series", kTheRest},
                    {"Peak", 5.5F},
                    {"Other peak", 6.0F},
                    {"Difference", 6.5F},
                    {"Change", 5.5F}},
                   size)) {
    return;
  }
  visible_rows(comparison.series.size(), [&](size_t i) {
    const ComparedSeries& row = comparison.series[i];
    ImGui::PushID(static_cast<int>(i));
    if (ImGui::Selectable(
            "##series", row.series == context.state.selected,
            ImGuiSelectableFlags_SpanAllColumns | ImGuiSelectableFlags_AllowItemOverlap)) {
      context.state.select(row.series);
    }
    ImGui::PopID();
    ImGui::SameLine(0, 0);
    text_coloured(series_colour(row.series, context.state.theme), row.name);
    ImGui::TableNextColumn();
    right_aligned(format_bytes(row.peak_bytes));
    ImGui::TableNextColumn();
    right_aligned(format_bytes(row.other_peak_bytes));
    ImGui::TableNextColumn();
    right_aligned(signed_bytes(row.difference()));
    ImGui::TableNextColumn();
    right_aligned(percent(row.difference(), row.peak_bytes));
  });
  ImGui::EndTable();
}

}  // namespace

void ComparePanel::draw(const PanelContext& context) {
  const Comparison* comparison = context.comparison;
  if (comparison == nullptr) {
    placeholder(context, "Start with two traces: tidemark-view A.db --compare B.db");
    return;
  }
  heading(context, "Compared with", base_name(comparison->path));
  ImGui::SameLine();
  text_coloured(context.colours().compared, "its curves are drawn in this colour");
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float em = ImGui::GetFontSize();
  // Beside each other where there is room for both, else in whole lines above each other.
  if (room.x > em * 75.0F) {
    const float width = std::floor(room.x * 0.42F);
    draw_peaks(context, *comparison, {width, room.y});
    ImGui::SameLine();
    ImGui::BeginGroup();
    draw_rows(context);
    ImGui::EndGroup();
    return;
  }
  const float line = ImGui::GetTextLineHeight() + ImGui::GetStyle().CellPadding.y * 2;
  const auto most = std::max(std::floor(room.y * 0.45F / line), 2.0F);
  const auto lines = std::min(static_cast<float>(comparison->series.size()) + 1.0F, most);
  draw_peaks(context, *comparison, {0, lines * line + 1});
  draw_rows(context);
}

// What differs at the peak of the selected series.
void ComparePanel::draw_rows(const PanelContext& context) {
  const Palette& colours = context.colours();
  if (context.differences == nullptr) {
    text_coloured(colours.text_dim, "finding out what differs ...");
    return;
  }
  if (!*context.differences) {
    text_coloured(colours.bad, context.differences->error().message);
    return;
  }
  const analyzer::SeriesDiff* series =
      find_differences(**context.differences, context.state.selected);
  if (series == nullptr) return;
  int grouping = static_cast<int>(grouping_);
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 14);
  ImGui::Combo("##grouping", &grouping, kGroupings.data(), static_cast<int>(kGroupings.size()));
  grouping_ = static_cast<DiffGrouping>(grouping);
  ImGui::SameLine();
  text_coloured(colours.text_dim, "at the peaks of " + analyzer::series_text(series->series));
  const std::vector<analyzer::DiffRow>& rows = rows_of(*series, grouping_);
  if (!begin_table("rows",
                   {{"Change", 6.5F}, {"Before", 6.5F}, {"After", 6.5F}, {"Of", kTheRest}})) {
    return;
  }
  visible_rows(rows.size(), [&](size_t i) {
    const analyzer::DiffRow& row = rows[i];
    coloured_growth(context, row.change());
    ImGui::TableNextColumn();
    right_aligned(format_bytes(static_cast<int64_t>(row.bytes_before)));
    ImGui::TableNextColumn();
    right_aligned(format_bytes(static_cast<int64_t>(row.bytes_after)));
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(row_name(row, grouping_).c_str());
  });
  ImGui::EndTable();
}

}  // namespace tidemark::viewer
