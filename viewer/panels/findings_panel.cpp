#include "tidemark/viewer/findings_panel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tidemark/viewer/format.h"
#include "tidemark/viewer/navigation.h"
#include "widgets.h"

namespace tidemark::viewer {
namespace {

// Bytes at the peak, or time where it is about time alone.
std::string gain(const analyzer::Finding& finding) {
  if (finding.peak_bytes > 0) return format_bytes(finding.peak_bytes - finding.peak_without_bytes);
  constexpr double kNsPerSecond = 1e9;
  return format_duration(static_cast<int64_t>(finding.seconds * kNsPerSecond));
}

}  // namespace

std::optional<std::string> FindingsPanel::draw(const PanelContext& context) {
  std::optional<std::string> look_for;
  if (context.insight == nullptr) {
    placeholder(context, "looking for waste ...");
    return look_for;
  }
  const Palette& colours = context.colours();
  const auto& findings = context.insight->findings;
  for (const std::string& failure : context.insight->failures) {
    text_coloured(colours.warning, failure);
  }
  if (findings.empty()) {
    placeholder(context, "No wasted memory was found in this trace");
    return look_for;
  }
  if (selected_ && *selected_ >= findings.size()) selected_.reset();
  const float em = ImGui::GetFontSize();
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float below = std::floor(em * 5.5F);
  const auto row = [&](size_t i) {
    const analyzer::Finding& finding = findings[i];
    if (row_button(static_cast<int>(i), selected_ == i,
                   format_bytes(static_cast<int64_t>(finding.bytes)))) {
      selected_ = i;
      show_finding(context.state, context.document, context.activity, finding);
      if (!finding.file.empty()) {
        look_for = fmt::format("{}:{}", base_name(finding.file), finding.line);
      }
    }
    ImGui::TableNextColumn();
    text_coloured(colours.warning, analyzer::pattern_text(finding.pattern));
    ImGui::TableNextColumn();
    right_aligned(format_count(finding.count));
    ImGui::TableNextColumn();
    right_aligned(gain(finding));
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(finding.where.empty() ? analyzer::series_text(finding.series).c_str()
                                                 : finding.where.c_str());
  };
  if (begin_table("findings",
                  {{"Bytes", 6.0F},
                   {"What", 10.0F},
                   {"Blocks", 4.5F},
                   {"Peak or time won", 9.0F},
                   {"Where", kTheRest}},
                  {0, std::max(room.y - below, em * 3.0F)}, ImGuiTableFlags_Resizable)) {
    visible_rows(findings.size(), row);
    ImGui::EndTable();
  }
  const analyzer::Finding& shown = findings[selected_.value_or(0)];
  ImGui::PushTextWrapPos(0);
  ImGui::TextUnformatted(shown.evidence.c_str());
  text_coloured(colours.good, shown.mend);
  ImGui::PopTextWrapPos();
  return look_for;
}

}  // namespace tidemark::viewer
