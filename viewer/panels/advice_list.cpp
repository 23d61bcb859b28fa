#include "advice_list.h"

#include <fmt/format.h>

#include <cmath>

#include "tidemark/viewer/format.h"
#include "widgets.h"

namespace tidemark::viewer {
namespace {

std::string needed_text(uint64_t value) { return format_bytes(static_cast<int64_t>(value)); }

// The batch slider's steps are quarters of a doubling: the largest that is not above.
double batch_step(double factor) { return std::exp2(std::floor(std::log2(factor) * 4) / 4); }

// One line of the list; true when it was clicked.
bool row(const PanelContext& context, int id, const std::string& size, const std::string& time,
         const std::vector<std::string>& changes, bool selectable) {
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  const bool clicked = row_button(id, false, size) && selectable;
  ImGui::TableNextColumn();
  right_aligned(time);
  ImGui::TableNextColumn();
  ImGui::PushTextWrapPos(0);
  for (const std::string& change : changes) {
    text_coloured(selectable ? context.colours().text : context.colours().text_dim, change);
  }
  ImGui::PopTextWrapPos();
  return clicked;
}

std::optional<WhatIfChoice> draw_list(const PanelContext& context, const analyzer::AdviceList& list,
                                      int16_t device) {
  std::optional<WhatIfChoice> clicked;
  if (!ImGui::BeginTable("advice", 3,
                         ImGuiTableFlags_RowBg | ImGuiTableFlags_BordersInnerV |
                             ImGuiTableFlags_NoSavedSettings)) {
    return clicked;
  }
  const float em = ImGui::GetFontSize();
  ImGui::TableSetupColumn("Card needs", ImGuiTableColumnFlags_WidthFixed, em * 6.0F);
  ImGui::TableSetupColumn("Time", ImGuiTableColumnFlags_WidthFixed, em * 4.0F);
  ImGui::TableSetupColumn("Click to preview", ImGuiTableColumnFlags_WidthStretch);
  ImGui::TableHeadersRow();
  int id = 0;
  const auto advice = [&](const analyzer::Advice& one) {
    const auto choice = from_whatif(one.what, device);
    const std::string time = fmt::format("{:.2f} x", one.prediction.time_ratio());
    if (row(context, id++, needed_text(one.prediction.needed_bytes()), time, one.changes,
            choice.has_value())) {
      clicked = choice;
    }
  };
  for (const analyzer::Advice& choice : list.choices) advice(choice);
  if (list.choices.empty() && list.least) advice(*list.least);
  if (list.largest_batch > 0 && list.fits_untouched == analyzer::Fit::kFits) {
    WhatIfChoice choice;
    choice.device = device;
    choice.batch = batch_step(list.largest_batch);
    if (row(context, id++, "", "",
            {fmt::format("the largest batch that fits: {:.3g} x", list.largest_batch)}, true)) {
      clicked = choice;
    }
  }
  ImGui::EndTable();
  return clicked;
}

}  // namespace

std::optional<WhatIfChoice> draw_advice(const PanelContext& context, int16_t device,
                                        uint64_t capacity) {
  const Palette& colours = context.colours();
  auto& worker = context.questions->advice();
  const Questions::AdviceQuestion question{device, capacity};
  worker.request(question);
  heading(context, "Advice", "to fit into " + needed_text(capacity));
  const auto answered = worker.latest();
  if (answered == nullptr || answered->question != question) {
    text_coloured(colours.text_dim, "trying what could be changed ...");
    return std::nullopt;
  }
  if (!*answered->answer) {
    text_coloured(colours.text_dim, answered->answer->error().message);
    return std::nullopt;
  }
  const analyzer::AdviceList& list = **answered->answer;
  if (list.fits_untouched == analyzer::Fit::kFits) {
    text_coloured(colours.good, "fits as it is");
  } else if (list.choices.empty()) {
    text_coloured(colours.bad, list.least ? "nothing tried makes it fit; this needs least"
                                          : "nothing tried makes it fit");
  }
  return draw_list(context, list, device);
}

}  // namespace tidemark::viewer
