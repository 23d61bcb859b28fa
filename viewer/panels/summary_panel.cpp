#include "tidemark/viewer/summary_panel.h"

#include <fmt/format.h>

#include <algorithm>

#include "tidemark/viewer/format.h"
#include "tidemark/viewer/process_view.h"

namespace tidemark::viewer {
namespace {

// A pill; the next one goes beside it, or below where the line is full.
class Pills {
 public:
  explicit Pills(const PanelContext& context) : context_(context) {}

  void add(Colour colour, std::string_view name, std::string_view value) {
    const Fonts& fonts = context_.fonts;
    const float em = fonts.small->FontSize;
    const float width = em * 2.4F + text_width(fonts.small, name) +
                        (value.empty() ? 0.0F : em * 0.5F + text_width(fonts.small, value));
    if (!first_) {
      ImGui::SameLine(0, em * 0.5F);
      if (ImGui::GetContentRegionAvail().x < width) ImGui::NewLine();
    }
    first_ = false;
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const float height = em * 1.75F;
    ImDrawList* list = ImGui::GetWindowDrawList();
    list->AddRectFilled(at, {at.x + width, at.y + height}, to_u32(with_alpha(colour, 0.13)),
                        height / 2);
    list->AddCircleFilled({at.x + em * 0.9F, at.y + height / 2}, em * 0.27F, to_u32(colour), 16);
    const ImVec2 text{at.x + em * 1.5F, at.y + em * 0.33F};
    const float used = draw_text(list, fonts.small, text, context_.colours().text_dim, name);
    draw_text(list, fonts.small, {text.x + used + em * 0.5F, text.y}, context_.colours().text,
              value);
    ImGui::Dummy({width, height});
  }

 private:
  const PanelContext& context_;
  bool first_ = true;
};

std::string facts(const Summary& summary) {
  std::string text =
      fmt::format("{}  \u00b7  {} process{}", format_duration(summary.span_ns),
                  format_count(summary.processes), summary.processes == 1 ? "" : "es");
  if (summary.failed_processes > 0) {
    text += fmt::format(" ({} failed)", format_count(summary.failed_processes));
  }
  return text + fmt::format("  \u00b7  {} thread{}  \u00b7  {} allocations",
                            format_count(summary.threads), summary.threads == 1 ? "" : "s",
                            format_count(summary.allocations));
}

}  // namespace

void draw_summary(const PanelContext& context) {
  const Palette& colours = context.colours();
  const Fonts& fonts = context.fonts;
  const Summary& summary = context.document.summary;
  ImDrawList* list = ImGui::GetWindowDrawList();
  const ImVec2 at = ImGui::GetCursorScreenPos();
  const float width = ImGui::GetContentRegionAvail().x;
  const float em = fonts.regular->FontSize;

  // Title at the left, facts at the right, the command in what is left between them.
  const std::string text = facts(summary);
  const float right = text_width(fonts.regular, text);
  const std::string_view title = base_name(summary.path);
  const float left =
      draw_text(list, fonts.title, at, colours.text, elide(fonts.title, title, width * 0.4F));
  const float y = at.y + fonts.title->FontSize - em * 1.12F;
  const float room = width - left - right - em * 3.0F;
  if (room > em * 6.0F) {
    draw_text(list, fonts.regular, {at.x + left + em, y}, colours.text_dim,
              elide(fonts.regular, summary.command, room));
  }
  if (left + right + em < width) {
    draw_text(list, fonts.regular, {at.x + width, y}, colours.text_dim, text, Align::kRight);
  }
  ImGui::Dummy({width, fonts.title->FontSize * 1.1F});

  Pills pills(context);
  for (const Track& track : context.document.tracks) {
    pills.add(series_colour(track.curve.series, context.state.theme), track.name,
              format_bytes(track.curve.peak_bytes));
  }
  for (const trace::Process& process : context.processes) {
    if (process.id == context.only) pills.add(colours.accent, "only", process_text(process));
  }
  if (context.activity != nullptr && context.activity->unseen_slices > 0) {
    pills.add(colours.warning, "kernels and ranges not drawn",
              format_count(context.activity->unseen_slices));
  }
  if (!summary.finished) {
    pills.add(colours.warning, "not finished", "still recording, or the recorder was killed");
  }
  if (summary.losses.empty()) {
    pills.add(colours.good, "nothing lost", "");
  }
  for (const trace::Loss& loss : summary.losses) {
    pills.add(severity_colour(loss.severity, context.state.theme), loss.name,
              format_count(loss.count));
  }
}

}  // namespace tidemark::viewer
