#include "tidemark/viewer/search_panel.h"

#include <fmt/format.h>

#include <algorithm>

#include "tidemark/viewer/format.h"
#include "tidemark/viewer/navigation.h"
#include "widgets.h"

namespace tidemark::viewer {

void SearchPanel::look_for(const std::string& text) {
  const size_t length = std::min(text.size(), text_.size() - 1);
  std::copy_n(text.begin(), length, text_.begin());
  text_[length] = '\0';
  ++generation_;  // a line that is being typed into keeps a text of its own
}

void SearchPanel::draw(const PanelContext& context) {
  const Palette& colours = context.colours();
  const float em = ImGui::GetFontSize();
  if (focus_) ImGui::SetKeyboardFocusHere();
  focus_ = false;
  ImGui::SetNextItemWidth(std::min(em * 32, ImGui::GetContentRegionAvail().x));
  ImGui::PushID(generation_);
  ImGui::InputTextWithHint("##search",
                           "function, file:line, kernel, 393MiB, >100MiB, 0x7f3a12000000",
                           text_.data(), text_.size());
  ImGui::PopID();
  const std::string text = text_.data();
  if (context.questions == nullptr || text.empty()) {
    placeholder(context, "Finds blocks by who asked for them, size or address; kernels by name");
    return;
  }
  const Questions::SearchText question{text, context.activity != nullptr};
  context.questions->search().request(question);
  shown_ = context.questions->search().latest();
  if (shown_ == nullptr) return;
  const SearchAnswer& answer = shown_->answer;
  ImGui::SameLine();
  if (!(shown_->question == question)) {
    text_coloured(colours.text_dim, "searching ...");
  } else if (!answer.error.empty()) {
    text_coloured(colours.bad, answer.error);
  } else {
    text_coloured(
        colours.text_dim,
        fmt::format(
            "{} found, {} in blocks", format_count(answer.found),
            format_bytes(static_cast<int64_t>(std::min<uint64_t>(answer.found_bytes, INT64_MAX)))));
  }
  draw_hits(context, answer);
}

void SearchPanel::draw_hits(const PanelContext& context, const SearchAnswer& answer) const {
  if (!begin_table("hits", {{"Bytes", 6.0F}, {"From", 8.0F}, {"In", 9.0F}, {"What", kTheRest}})) {
    return;
  }
  visible_rows(answer.hits.size(), [&](size_t i) {
    const SearchHit& hit = answer.hits[i];
    const bool block = hit.choice.block != trace::AllocationId{};
    if (row_button(static_cast<int>(i), context.state.choice == hit.choice,
                   block ? format_bytes(static_cast<int64_t>(hit.bytes))
                         : format_duration(hit.end_ns - hit.begin_ns))) {
      jump_to(context.state, hit.choice, hit.begin_ns, hit.end_ns);
    }
    ImGui::TableNextColumn();
    right_aligned(format_time(hit.begin_ns));
    ImGui::TableNextColumn();
    text_coloured(context.colours().text_dim, hit.place);
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(block ? hit.name.c_str() : short_function(hit.name).c_str());
  });
  ImGui::EndTable();
}

}  // namespace tidemark::viewer
