#include "tidemark/viewer/share_panels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tidemark/viewer/format.h"
#include "widgets.h"

namespace tidemark::viewer {
namespace {

constexpr float kLeastPixels =
    1.5F;  // narrower ones are not drawn: their bytes stay their parent's

void share_title(const PanelContext& context, const LiveAnswer& answer) {
  ImGui::PushFont(context.fonts.bold);
  ImGui::TextUnformatted(fmt::format("{} live in {}",
                                     format_bytes(static_cast<int64_t>(answer.bytes)),
                                     analyzer::series_text(answer.series))
                             .c_str());
  ImGui::PopFont();
  ImGui::SameLine();
  text_coloured(context.colours().text_dim, fmt::format("at {}", format_time(answer.time_ns)));
}

// The newest answer about the cursor; null while there is none.
std::shared_ptr<const LiveAnswer> ask(const PanelContext& context) {
  if (context.document.find(context.state.selected) == nullptr) return nullptr;
  context.live.request(context.state.selected, context.state.cursor_ns);
  auto answer = context.live.latest();
  return answer != nullptr && answer->error.empty() ? answer : nullptr;
}

void share_hint(const PanelContext& context, const std::string& name, uint64_t bytes,
                uint64_t count, uint64_t all) {
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {12, 9});
  ImGui::BeginTooltip();
  ImGui::PushTextWrapPos(context.fonts.regular->FontSize * 40.0F);
  ImGui::TextUnformatted(name.c_str());
  ImGui::PopTextWrapPos();
  const double share = all == 0 ? 0 : static_cast<double>(bytes) / static_cast<double>(all);
  text_coloured(context.colours().text_dim,
                fmt::format("{}  \u00b7  {}  \u00b7  {}", format_bytes(static_cast<int64_t>(bytes)),
                            format_percent(share), plural(count, "block")));
  ImGui::EndTooltip();
  ImGui::PopStyleVar();
}

}  // namespace

void FlamePanel::draw(const PanelContext& context) {
  const auto answer = ask(context);
  if (answer == nullptr) {
    placeholder(context, "Nothing to show");
    return;
  }
  if (answer != answer_) {
    answer_ = answer;
    nodes_ = flame_graph(*answer);
    root_ = 0;
  }
  const float em = ImGui::GetFontSize();
  share_title(context, *answer_);
  ImGui::SameLine(0, em * 2);
  ImGui::SetNextItemWidth(em * 14);
  ImGui::InputTextWithHint("##find", "find a function", words_.data(), words_.size());
  const std::string wanted = words_.data();
  if (!wanted.empty()) {
    ImGui::SameLine();
    const uint64_t bytes = flame_match_bytes(nodes_, wanted);
    text_coloured(context.colours().accent,
                  format_bytes(static_cast<int64_t>(bytes)) + " below it");
  }
  if (root_ != 0) {
    ImGui::SameLine();
    if (ImGui::SmallButton("show all")) root_ = 0;
  }
  if (nodes_.empty()) {
    placeholder(context, "No call stacks");
    return;
  }
  const float height = std::floor(em * 1.35F);
  uint32_t deepest = 0;
  for (const FlameNode& node : nodes_) deepest = std::max(deepest, node.depth);
  ImGui::BeginChild("flame", {0, 0}, false);
  const ImVec2 origin = ImGui::GetCursorScreenPos();
  const float width = std::max(ImGui::GetContentRegionAvail().x, 1.0F);
  for (size_t i = 0; i < nodes_.size(); ++i) draw_node(context, i, origin, width, height);
  ImGui::SetCursorScreenPos(origin);
  ImGui::Dummy({width, height * static_cast<float>(deepest + 1)});
  ImGui::EndChild();
}

void FlamePanel::draw_node(const PanelContext& context, size_t index, ImVec2 origin, float width,
                           float height) {
  const FlameNode& node = nodes_[index];
  const FlameNode& root = nodes_[root_];
  const double span = root.end - root.begin;
  // Callers of the root are as wide as the panel; what is beside it is not shown.
  const double left = (std::max(node.begin, root.begin) - root.begin) / span;
  const double right = (std::min(node.end, root.end) - root.begin) / span;
  const float x0 = origin.x + static_cast<float>(left) * width;
  const float x1 = origin.x + static_cast<float>(right) * width;
  if (x1 - x0 < kLeastPixels) return;
  const float y0 = origin.y + height * static_cast<float>(node.depth);
  const ImVec2 min{x0, y0};
  const ImVec2 max{x1 - 1, y0 + height - 1};
  if (!ImGui::IsRectVisible(min, max)) return;
  const Palette& colours = context.colours();
  const std::string wanted = lower(words_.data());
  const bool match = !wanted.empty() && lower(node.name).find(wanted) != std::string::npos;
  Colour colour = index == 0 ? colours.text_dim : name_colour(node.name, context.state.theme);
  const double strength = match ? 1.0 : wanted.empty() ? (node.python ? 0.7 : 0.4) : 0.2;
  colour = mix(colours.panel, colour, strength);
  ImDrawList* list = ImGui::GetWindowDrawList();
  list->AddRectFilled(min, max, to_u32(colour), 2.0F);
  const float room = max.x - min.x - 8;
  if (room > height) {
    draw_text(list, context.fonts.small, {min.x + 4, min.y + height * 0.1F},
              readable_on(colour, colours.text, colours.background),
              elide(context.fonts.small, node.name, room));
  }
  if (ImGui::IsWindowHovered() && ImGui::IsMouseHoveringRect(min, max)) {
    list->AddRect(min, max, to_u32(colours.cursor), 2.0F);
    share_hint(context, node.name, node.bytes, node.count, nodes_[0].bytes);
    if (ImGui::IsMouseClicked(ImGuiMouseButton_Left)) root_ = index;
  }
}

void TreemapPanel::draw(const PanelContext& context) {
  const auto answer = ask(context);
  if (answer == nullptr) {
    placeholder(context, "Nothing to show");
    return;
  }
  share_title(context, *answer);
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float width = std::max(room.x, 1.0F);
  const float height = std::max(room.y, 1.0F);
  const double aspect = static_cast<double>(width) / static_cast<double>(height);
  if (answer != answer_ || context.insight != insight_ || std::abs(aspect - aspect_) > 1e-6) {
    answer_ = answer;
    insight_ = context.insight;
    aspect_ = aspect;
    std::vector<TreeItem> items;
    for (const LiveRow& row : answer->rows) {
      items.push_back({row.text->frames.empty() ? row.api : outermost_caption(*row.text),
                       row.text->caption, row.bytes, row.count});
    }
    boxes_ = treemap(std::move(items), aspect);
  }
  const ImVec2 origin = ImGui::GetCursorScreenPos();
  ImDrawList* list = ImGui::GetWindowDrawList();
  ImGui::InvisibleButton("treemap", {width, height});
  const bool hovered = ImGui::IsItemHovered();
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  const Palette& colours = context.colours();
  const TreeBox* under = nullptr;
  for (const TreeBox& box : boxes_) {
    const ImVec2 min{origin.x + static_cast<float>(box.x) * width,
                     origin.y + static_cast<float>(box.y) * height};
    const ImVec2 max{min.x + static_cast<float>(box.width) * width,
                     min.y + static_cast<float>(box.height) * height};
    if (max.x - min.x < kLeastPixels || max.y - min.y < kLeastPixels) continue;
    if (box.group < 0) {
      list->AddRectFilled(min, max, to_u32(colours.border));
      continue;
    }
    const std::string& group = boxes_[static_cast<size_t>(box.group)].name;
    const Colour colour = name_colour(group, context.state.theme);
    const ImVec2 inner{max.x - 1, max.y - 1};
    list->AddRectFilled({min.x + 1, min.y + 1}, inner, to_u32(mix(colours.plot, colour, 0.55)));
    const float text_room = max.x - min.x - 10;
    const float line = context.fonts.small->FontSize;
    if (text_room > line * 3 && max.y - min.y > line * 1.4F) {
      draw_text(list, context.fonts.small, {min.x + 5, min.y + 3}, colours.text,
                elide(context.fonts.small, box.name, text_room));
      if (max.y - min.y > line * 2.8F) {
        draw_text(list, context.fonts.small, {min.x + 5, min.y + 3 + line * 1.2F},
                  with_alpha(colours.text, 0.8), format_bytes(static_cast<int64_t>(box.bytes)));
      }
    }
    if (hovered && mouse.x >= min.x && mouse.x < max.x && mouse.y >= min.y && mouse.y < max.y) {
      under = &box;
      list->AddRect(min, max, to_u32(colours.cursor), 0, 0, 2.0F);
    }
  }
  if (under != nullptr) {
    const std::string& group = boxes_[static_cast<size_t>(under->group)].name;
    share_hint(context, group + "\n" + under->name, under->bytes, under->count, answer_->bytes);
  }
}

}  // namespace tidemark::viewer
