#include "tidemark/viewer/segments_panel.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "colouring.h"
#include "tidemark/viewer/format.h"
#include "widgets.h"

namespace tidemark::viewer {
namespace {

constexpr std::array kOrders = {"by address", "largest first", "most free first"};
constexpr float kMostLines = 4.0F;  // that a bar is high where there are few
constexpr float kLeastSegmentPixels = 0.4F;

std::string bytes(uint64_t value) {
  return format_bytes(static_cast<int64_t>(std::min<uint64_t>(value, INT64_MAX)));
}

}  // namespace

void SegmentsPanel::draw(const PanelContext& context) {
  const ViewState& state = context.state;
  pieces_.clear();
  const auto device = std::max<int16_t>(state.selected.device, 0);
  const analyzer::Series pool{trace::Layer::kPool, trace::Space::kDevice, device};
  if (context.questions == nullptr || context.document.find(pool) == nullptr) {
    placeholder(context, fmt::format("No framework's pool was recorded on device {}", device));
    return;
  }
  const Questions::SegmentsQuestion question{device, state.cursor_ns};
  auto& worker = context.questions->segments();
  worker.request(question);
  const auto answered = worker.latest();
  if (answered == nullptr || answered->question.device != device) {
    placeholder(context, "looking up ...");
    return;
  }
  if (answered->answer != answer_) {
    answer_ = answered->answer;
    if (*answer_) sorted_ = sorted_segments(**answer_, order_);
  }
  if (!*answer_) {
    text_coloured(context.colours().bad, answer_->error().message);
    return;
  }
  draw_title(context, **answer_);
  draw_table(context, **answer_);
}

void SegmentsPanel::draw_title(const PanelContext& context, const SegmentMap& map) {
  const Palette& colours = context.colours();
  const float em = ImGui::GetFontSize();
  ImGui::PushFont(context.fonts.bold);
  ImGui::TextUnformatted(
      fmt::format("{} in {}", bytes(map.bytes), plural(map.segments.size(), "segment")).c_str());
  ImGui::PopFont();
  ImGui::SameLine();
  text_coloured(
      colours.text_dim,
      fmt::format("at {}  \u00b7  {} in {}  \u00b7  {} free in {}, the largest {}",
                  format_time(map.time_ns), bytes(map.live_bytes), plural(map.live_count, "block"),
                  bytes(map.free_bytes()), plural(map.holes, "hole"), bytes(map.largest_hole)));
  ImGui::SameLine(0, em * 1.5F);
  ImGui::SetNextItemWidth(em * 9);
  int order = static_cast<int>(order_);
  if (ImGui::Combo("##order", &order, kOrders.data(), static_cast<int>(kOrders.size()))) {
    order_ = static_cast<SegmentOrder>(order);
    sorted_ = sorted_segments(map, order_);
  }
  if (map.inferred) {
    text_coloured(colours.text_dim,
                  "Expandable segments: the trace has the sizes of their pages, not their places. "
                  "Shown are the ranges that blocks have reached so far.");
  }
}

void SegmentsPanel::draw_table(const PanelContext& context, const SegmentMap& map) {
  if (map.segments.empty()) {
    placeholder(context, "The pool held nothing at this moment");
    return;
  }
  const float line = ImGui::GetTextLineHeight();
  const float room = ImGui::GetContentRegionAvail().y - line * 2;
  const float height = std::floor(
      std::clamp(room / static_cast<float>(map.segments.size()), line, line * kMostLines));
  if (!begin_table("segments",
                   {{"Address", 8.5F},
                    {"Size", 5.5F},
                    {"Free", 5.5F},
                    {"Largest hole", 6.5F},
                    {"Blocks and holes, each segment as wide as the column", kTheRest}})) {
    return;
  }
  visible_rows(sorted_.size(), [&](size_t i) {
    const PoolSegment& segment = map.segments[sorted_[i]];
    text_coloured(context.colours().text_dim, fmt::format("0x{:x}", segment.address));
    ImGui::TableNextColumn();
    right_aligned(bytes(segment.bytes));
    ImGui::TableNextColumn();
    if (segment.free_bytes() > 0) right_aligned(bytes(segment.free_bytes()));
    ImGui::TableNextColumn();
    if (segment.largest_hole > 0) right_aligned(bytes(segment.largest_hole));
    ImGui::TableNextColumn();
    draw_bar(context, segment, height);
  });
  ImGui::EndTable();
  draw_hint(context);
}

void SegmentsPanel::draw_bar(const PanelContext& context, const PoolSegment& segment,
                             float height) {
  const Palette& colours = context.colours();
  const ImVec2 at = ImGui::GetCursorScreenPos();
  const float width = std::max(ImGui::GetContentRegionAvail().x - 4, 1.0F);
  ImDrawList* list = ImGui::GetWindowDrawList();
  const double scale = static_cast<double>(width) / static_cast<double>(segment.bytes);
  const auto x_of = [&](uint64_t address) {
    return at.x + static_cast<float>(static_cast<double>(address - segment.address) * scale);
  };
  list->AddRectFilled(at, {at.x + width, at.y + height}, to_u32(colours.grid));
  float drawn_to = at.x - 1;
  for (const SegmentPiece& piece : segment.pieces) {
    const ImVec2 min{x_of(piece.address), at.y + 1};
    const ImVec2 max{x_of(piece.address + piece.bytes), at.y + height - 1};
    // What is too narrow to be seen adds nothing to its neighbour that has this pixel already.
    if (max.x - drawn_to < kLeastSegmentPixels) continue;
    drawn_to = max.x;
    pieces_.push_back({piece, min, max});
    if (piece.is_hole()) continue;
    const Colour colour = block_colour(context, answer_->value().series, piece.block);
    const ImVec2 right{std::max(max.x, min.x + 1), max.y};
    list->AddRectFilled(min, right, to_u32(with_alpha(colour, 0.85)));
    if (max.x - min.x > 3) list->AddRect(min, right, to_u32(with_alpha(colours.plot, 0.7)));
    if (piece.block == context.state.choice.block) {
      list->AddRect(min, right, to_u32(colours.cursor), 0, 0, 2.0F);
    }
  }
  ImGui::PushID(&segment);
  const bool pressed = ImGui::InvisibleButton("bar", {width, height});
  ImGui::PopID();
  if (!pressed) return;
  const float x = ImGui::GetIO().MousePos.x;
  for (auto drawn = pieces_.rbegin(); drawn != pieces_.rend() && drawn->min.y > at.y; ++drawn) {
    if (drawn->piece.is_hole() || x < drawn->min.x || x >= std::max(drawn->max.x, drawn->min.x + 1))
      continue;
    Choice choice;
    choice.block = drawn->piece.block;
    choice.block_series = answer_->value().series;
    choice.block_ns = drawn->piece.alloc_ns;
    context.state.remember();
    context.state.choose(choice);
    context.state.remember();
    return;
  }
}

void SegmentsPanel::draw_hint(const PanelContext& context) const {
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  for (const DrawnPiece& drawn : pieces_) {
    if (!ImGui::IsMouseHoveringRect(drawn.min,
                                    {std::max(drawn.max.x, drawn.min.x + 1), drawn.max.y}))
      continue;
    if (mouse.y < ImGui::GetWindowPos().y) return;
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {12, 9});
    ImGui::BeginTooltip();
    fact_line(context, drawn.piece.is_hole() ? "hole" : "block", bytes(drawn.piece.bytes),
              format_bytes_exact(static_cast<int64_t>(drawn.piece.bytes)));
    fact_line(context, "address", fmt::format("0x{:x}", drawn.piece.address));
    if (!drawn.piece.is_hole()) {
      fact_line(context, "since", format_time(drawn.piece.alloc_ns));
      const analyzer::CategoryBlock* block =
          context.insight == nullptr ? nullptr : context.insight->block(drawn.piece.block);
      if (block != nullptr) fact_line(context, "is", category_text(block->category));
    }
    ImGui::EndTooltip();
    ImGui::PopStyleVar();
    return;
  }
}

}  // namespace tidemark::viewer
