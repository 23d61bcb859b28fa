#include "tidemark/viewer/advice_panel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "tidemark/viewer/format.h"
#include "widgets.h"

namespace tidemark::viewer {
namespace {

using analyzer::TechniqueAdvice;
using analyzer::TechniqueLine;

constexpr double kNsPerSecond = 1e9;

// Those that apply first, of these what saves most.
std::vector<const TechniqueLine*> in_order(const TechniqueAdvice& advice) {
  std::vector<const TechniqueLine*> lines;
  for (const TechniqueLine& line : advice.lines) lines.push_back(&line);
  const auto key = [&](const TechniqueLine* line) {
    return std::tuple(line->applies, advice.saved_bytes(*line), line->seconds);
  };
  std::stable_sort(lines.begin(), lines.end(),
                   [&](const auto* a, const auto* b) { return key(a) > key(b); });
  return lines;
}

// Nothing where no slider or switch stands for it.
std::optional<WhatIfChoice> choice_of(const TechniqueAdvice& advice, const TechniqueLine& line) {
  const bool on_device = advice.series && advice.series->space == trace::Space::kDevice;
  if (!on_device || !line.what) return std::nullopt;
  return from_whatif(*line.what, advice.series->device);
}

std::string won(const TechniqueLine& line) {
  if (line.seconds <= 0) return "";
  return format_duration(static_cast<int64_t>(line.seconds * kNsPerSecond));
}

void paragraph(Colour colour, const char* title, const std::string& text,
               const PanelContext& context) {
  if (text.empty()) return;
  heading(context, title);
  ImGui::PushTextWrapPos(0);
  text_coloured(colour, text);
  ImGui::PopTextWrapPos();
}

}  // namespace

std::optional<WhatIfChoice> AdvicePanel::draw(const PanelContext& context) {
  if (context.questions == nullptr) {
    placeholder(context, "No trace to advise on");
    return std::nullopt;
  }
  context.questions->techniques().request(true);
  const auto answered = context.questions->techniques().latest();
  if (answered == nullptr) {
    placeholder(context, "trying every technique on this recording ...");
    return std::nullopt;
  }
  if (!*answered->answer) {
    placeholder(context, answered->answer->error().message);
    return std::nullopt;
  }
  const TechniqueAdvice& advice = **answered->answer;
  const float em = ImGui::GetFontSize();
  std::string of;
  if (advice.series) {
    of = fmt::format("{} reserves {} at most", analyzer::series_text(*advice.series),
                     format_bytes(advice.peak_bytes));
  }
  if (advice.step_ns > 0) of += "  \u00b7  a step takes " + format_duration(advice.step_ns);
  heading(context, "Advice by technique", of);
  if (!advice.not_replayed.empty()) {
    text_coloured(context.colours().warning, "not predicted: " + advice.not_replayed);
  }
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float gap = ImGui::GetStyle().ItemSpacing.x;
  std::optional<WhatIfChoice> clicked;
  if (room.x > em * 60.0F) {
    const float table = std::floor(room.x * 0.52F);
    clicked = draw_table(context, advice, {table, room.y});
    ImGui::SameLine();
    draw_why(context, advice, {room.x - table - gap, room.y});
  } else {
    const float table = std::floor(room.y * 0.5F);
    clicked = draw_table(context, advice, {room.x, table});
    draw_why(context, advice, {room.x, room.y - table - gap});
  }
  return clicked;
}

std::optional<WhatIfChoice> AdvicePanel::draw_table(const PanelContext& context,
                                                    const TechniqueAdvice& advice, ImVec2 size) {
  const Palette& colours = context.colours();
  std::optional<WhatIfChoice> clicked;
  if (!begin_table("techniques",
                   {{"Saves", 5.5F},
                    {"Peak then", 6.0F},
                    {"Step", 4.5F},
                    {"Time to win", 6.5F},
                    {"Technique", kTheRest}},
                   size)) {
    return clicked;
  }
  const std::vector<const TechniqueLine*> lines = in_order(advice);
  if (!selected_ && !lines.empty()) selected_ = lines.front()->technique;
  visible_rows(lines.size(), [&](size_t i) {
    const TechniqueLine& line = *lines[i];
    const int64_t saved = advice.saved_bytes(line);
    if (row_button(static_cast<int>(i), selected_ == line.technique,
                   saved > 0 ? format_bytes(saved) : "")) {
      selected_ = line.technique;
      clicked = choice_of(advice, line).value_or(WhatIfChoice{});
    }
    ImGui::TableNextColumn();
    right_aligned(line.peak_with_bytes ? format_bytes(*line.peak_with_bytes) : "");
    ImGui::TableNextColumn();
    right_aligned(line.time_ratio ? fmt::format("{:.2f} x", *line.time_ratio) : "");
    ImGui::TableNextColumn();
    right_aligned(won(line));
    ImGui::TableNextColumn();
    text_coloured(line.applies ? colours.text : colours.text_dim,
                  analyzer::technique_text(line.technique));
  });
  ImGui::EndTable();
  return clicked;
}

void AdvicePanel::draw_why(const PanelContext& context, const TechniqueAdvice& advice,
                           ImVec2 size) const {
  const Palette& colours = context.colours();
  begin_well(context, "why", size);
  const auto line =
      std::find_if(advice.lines.begin(), advice.lines.end(),
                   [&](const TechniqueLine& one) { return one.technique == selected_; });
  if (line != advice.lines.end()) {
    const auto choice = choice_of(advice, *line);
    const char* verdict = line->applies ? "applies here" : "not worth a hundredth here";
    heading(context, analyzer::technique_text(line->technique), verdict);
    const auto answered = context.questions->forecast().latest();
    const bool shown = choice && answered != nullptr && answered->answer->error.empty() &&
                       choice->same_changes(answered->answer->choice);
    if (shown) {
      text_coloured(
          colours.accent,
          fmt::format(
              "Drawn over the recorded curve: a peak of {}, {} reserved",
              format_bytes(static_cast<int64_t>(answered->answer->prediction.predicted.allocated)),
              format_bytes(static_cast<int64_t>(answered->answer->prediction.predicted.reserved))));
    } else if (choice) {
      text_coloured(colours.text_dim, "A click on the row draws its curve over the recorded one");
    }
    paragraph(colours.text, "Why", line->why, context);
    paragraph(colours.good, "What to change", line->change, context);
    paragraph(colours.text_dim, "On the command line", line->command, context);
  }
  ImGui::EndChild();
}

}  // namespace tidemark::viewer
