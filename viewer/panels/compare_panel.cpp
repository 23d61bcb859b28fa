#include "tidemark/viewer/compare_panel.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tidemark/viewer/format.h"
#include "widgets.h"

namespace tidemark::viewer {

namespace {

constexpr ImGuiTableFlags kCompareTable = ImGuiTableFlags_ScrollY | ImGuiTableFlags_RowBg |
                                          ImGuiTableFlags_BordersInnerV |
                                          ImGuiTableFlags_NoSavedSettings;
constexpr std::array kGroupings = {"by line of code", "by layer of the model", "by category",
                                   "by call stack"};

std::string percent(int64_t change, int64_t before) {
  if (before == 0) return "new";
  return fmt::format("{:+.1f} %", static_cast<double>(change) / static_cast<double>(before) * 100);
}

std::string row_name(const analyzer::DiffRow& row, size_t grouping) {
  if (grouping == 1 && row.name.empty()) return "no layer";
  if (grouping != 3) return row.name;
  std::string name;
  for (const auto& line : row.stack.lines) {
    if (!name.empty()) name += "  <  ";
    name += short_function(line.frame.function);
  }
  return name.empty() ? "(no stack)" : name;
}

void peaks(const PanelContext& context, const Comparison& comparison, float height) {
  if (!ImGui::BeginTable("compare", 5, kCompareTable, {0, height})) return;
  ImGui::TableSetupScrollFreeze(0, 1);
  for (const char* title : {"Series", "Peak", "Other peak", "Difference", "Change"}) {
    ImGui::TableSetupColumn(title, ImGuiTableColumnFlags_WidthStretch);
  }
  ImGui::TableHeadersRow();
  int id = 0;
  for (const ComparedSeries& row : comparison.series) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::PushID(id++);
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
  }
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
  const float line = ImGui::GetTextLineHeightWithSpacing();
  const float room = ImGui::GetContentRegionAvail().y;
  const float wanted = line * (static_cast<float>(comparison->series.size()) + 1.6F);
  peaks(context, *comparison, std::max(std::min(wanted, room * 0.4F), line * 2));
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
  const auto& all = context.differences->value().series;
  const auto series = std::find_if(all.begin(), all.end(), [&](const analyzer::SeriesDiff& one) {
    return one.series == context.state.selected;
  });
  if (series == all.end()) return;
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 14);
  ImGui::Combo("##grouping", &grouping_, kGroupings.data(), static_cast<int>(kGroupings.size()));
  ImGui::SameLine();
  text_coloured(colours.text_dim, "at the peaks of " + analyzer::series_text(series->series));
  const std::array lists = {&series->lines, &series->layers, &series->categories, &series->stacks};
  const auto grouping = static_cast<size_t>(grouping_);
  const std::vector<analyzer::DiffRow>& rows = *lists.at(grouping);
  if (!ImGui::BeginTable("rows", 4, kCompareTable)) return;
  const float em = ImGui::GetFontSize();
  ImGui::TableSetupScrollFreeze(0, 1);
  ImGui::TableSetupColumn("Change", ImGuiTableColumnFlags_WidthFixed, em * 6.5F);
  ImGui::TableSetupColumn("Before", ImGuiTableColumnFlags_WidthFixed, em * 6.5F);
  ImGui::TableSetupColumn("After", ImGuiTableColumnFlags_WidthFixed, em * 6.5F);
  ImGui::TableSetupColumn("Of", ImGuiTableColumnFlags_WidthStretch);
  ImGui::TableHeadersRow();
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(rows.size()));
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      const analyzer::DiffRow& row = rows[static_cast<size_t>(i)];
      ImGui::TableNextRow();
      ImGui::TableNextColumn();
      ImGui::PushStyleColor(ImGuiCol_Text, to_u32(row.change() > 0   ? colours.warning
                                                  : row.change() < 0 ? colours.good
                                                                     : colours.text_dim));
      right_aligned(signed_bytes(row.change()));
      ImGui::PopStyleColor();
      ImGui::TableNextColumn();
      right_aligned(format_bytes(static_cast<int64_t>(row.bytes_before)));
      ImGui::TableNextColumn();
      right_aligned(format_bytes(static_cast<int64_t>(row.bytes_after)));
      ImGui::TableNextColumn();
      ImGui::TextUnformatted(row_name(row, grouping).c_str());
    }
  }
  ImGui::EndTable();
}

}  // namespace tidemark::viewer
