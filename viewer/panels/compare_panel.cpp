#include "tidemark/viewer/compare_panel.h"

#include <fmt/format.h>

#include "tidemark/viewer/format.h"
#include "widgets.h"

namespace tidemark::viewer {

void draw_compare(const PanelContext& context) {
  const Palette& colours = context.colours();
  const Comparison* comparison = context.comparison;
  if (comparison == nullptr) {
    placeholder(context, "Start with two traces: tidemark-view A.db --compare B.db");
    return;
  }
  heading(context, "Compared with", base_name(comparison->path));
  ImGui::SameLine();
  text_coloured(colours.compared, "its curves are drawn in this colour");
  constexpr ImGuiTableFlags kFlags = ImGuiTableFlags_ScrollY | ImGuiTableFlags_RowBg |
                                     ImGuiTableFlags_BordersInnerV |
                                     ImGuiTableFlags_NoSavedSettings;
  if (!ImGui::BeginTable("compare", 5, kFlags)) return;
  ImGui::TableSetupScrollFreeze(0, 1);
  for (const char* title : {"Series", "Peak", "Other peak", "Difference", "Change"}) {
    ImGui::TableSetupColumn(title, ImGuiTableColumnFlags_WidthStretch);
  }
  ImGui::TableHeadersRow();
  for (const ComparedSeries& row : comparison->series) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    text_coloured(series_colour(row.series, context.state.theme), row.name);
    ImGui::TableNextColumn();
    right_aligned(format_bytes(row.peak_bytes));
    ImGui::TableNextColumn();
    right_aligned(format_bytes(row.other_peak_bytes));
    ImGui::TableNextColumn();
    right_aligned(signed_bytes(row.difference()));
    ImGui::TableNextColumn();
    right_aligned(row.peak_bytes == 0
                      ? std::string("new")
                      : fmt::format("{:+.1f} %", static_cast<double>(row.difference()) /
                                                     static_cast<double>(row.peak_bytes) * 100));
  }
  ImGui::EndTable();
}

}  // namespace tidemark::viewer
