#include "tidemark/viewer/timeline_panel.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tidemark/viewer/format.h"
#include "track_painters.h"

namespace tidemark::viewer {
namespace {

constexpr float kLeastLines = 3.8F;  // of text: name, value, peak

float line_height(const PanelContext& context) { return context.fonts.regular->FontSize; }

// How high a row is: a share of what is left, but no less than the second; or the second alone.
struct RowHeight {
  float weight = 0;
  float least = 0;
};

RowHeight height_of(const PanelContext& context, const TrackRow& row) {
  const float em = line_height(context);
  const float lane = lane_height(context);
  switch (row.kind) {
    case TrackKind::kPhases:
      return {0, lane * 2 + 6};
    case TrackKind::kUsage: {
      // A framework's pool is what people come for, and carries two lines.
      const Track& track = context.document.tracks[row.index];
      const bool pool = track.curve.series.layer == trace::Layer::kPool;
      return {pool ? 1.8F : 1.0F, em * kLeastLines * (pool ? 1.6F : 1.0F)};
    }
    case TrackKind::kBlocks:
      return {1.7F, em * 7.5F};
    case TrackKind::kStream:
      return {0, std::max(lane + 10, em * 2.9F)};
    case TrackKind::kRanges: {
      const auto lanes = static_cast<float>(context.activity->ranges[row.index].lanes.size());
      return {0, std::max(lane * lanes + 6, em * 2.9F)};
    }
    case TrackKind::kThread:
      return {0, em * 2.9F};
    case TrackKind::kSamples:
      return {0.5F, em * 4.2F};
  }
  return {1, em};
}

}  // namespace

void TimelinePanel::draw(const PanelContext& context, float height) {
  const float em = line_height(context);
  context.state.tracks.update(
      context.document, context.activity,
      context.insight != nullptr && !context.insight->phases.slices().empty());
  // Whole pixels: a column of the curve is then a column of the screen.
  ImVec2 origin = ImGui::GetCursorScreenPos();
  origin = {std::floor(origin.x), std::floor(origin.y)};
  const float width = std::max(ImGui::GetContentRegionAvail().x, 1.0F);
  gutter_ = std::max(std::floor(std::min(em * 16.0F, width * 0.35F)), 1.0F);
  const float axis_height = std::floor(em * 1.9F);
  const float right = ImGui::GetStyle().ScrollbarSize;

  plot_ = {{origin.x + gutter_, origin.y + axis_height},
           {std::max(origin.x + width - right, origin.x + gutter_ + 1.0F), origin.y + height}};
  context.state.axis.set_width(std::floor(plot_.width()));
  handle_keys(context);

  ImGui::SetCursorScreenPos({origin.x, plot_.min.y});
  ImGui::BeginChild("tracks", {width, std::max(height - axis_height, 1.0F)}, false,
                    ImGuiWindowFlags_NoScrollWithMouse);
  draw_rows(context, std::max(height - axis_height, 1.0F));
  ImGui::EndChild();
  draw_axis(context, {{plot_.min.x, origin.y}, {plot_.max.x, plot_.min.y}});
  draw_filter(context, origin);
  if (hovered_ && !dragged_ && !selecting_) draw_hover(context);
}

// By name; what is typed stays until it is taken out, here or with "show all tracks".
void TimelinePanel::draw_filter(const PanelContext& context, ImVec2 at) {
  TrackList& tracks = context.state.tracks;
  if (tracks.filter() != filter_.data()) filter_[0] = '\0';
  const float em = line_height(context);
  ImGui::SetCursorScreenPos({at.x + em * 0.2F, at.y});
  ImGui::SetNextItemWidth(std::max(gutter_ - em * 0.7F, 1.0F));
  ImGui::PushFont(context.fonts.small);
  if (ImGui::InputTextWithHint("##filter", "filter tracks by name", filter_.data(),
                               filter_.size())) {
    tracks.set_filter(filter_.data());
  }
  ImGui::PopFont();
}

void TimelinePanel::draw_axis(const PanelContext& context, const Box& box) const {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const TimeAxis& axis = context.state.axis;
  ImFont* font = context.fonts.small;
  const float baseline = box.max.y - 1.0F;
  const AxisLabel cursor = cursor_label(context);
  const AxisLabel range = range_label(context, cursor);
  list->AddLine({box.min.x, baseline}, {box.max.x, baseline}, to_u32(context.colours().border));
  list->PushClipRect({box.min.x - gutter_, box.min.y}, box.max);
  for (const TimeTick& tick : axis.ticks(text_width(font, "0"))) {
    const float x = box.min.x + static_cast<float>(
                                    std::floor(axis.to_pixel(static_cast<double>(tick.time_ns))));
    list->AddLine({x, baseline - font->FontSize * 0.35F}, {x, baseline},
                  to_u32(context.colours().text_dim));
    const float half = text_width(font, tick.label) / 2;
    const float centre =
        std::clamp(x, box.min.x + half, std::max(box.max.x - half, box.min.x + half));
    // Half a label is none.
    if (cursor.touches(centre, half) || range.touches(centre, half)) continue;
    draw_text(list, font, {centre, box.min.y + font->FontSize * 0.25F}, context.colours().text_dim,
              tick.label, Align::kCentre);
  }
  list->PopClipRect();
  const Palette& colours = context.colours();
  draw_label(context, range, colours.accent, colours.background);
  draw_label(context, cursor, colours.cursor, colours.background);
}

TimelinePanel::AxisLabel TimelinePanel::label_at(const PanelContext& context, float x,
                                                 std::string text) const {
  const float em = context.fonts.small->FontSize;
  AxisLabel label;
  label.half = text_width(context.fonts.small, text) / 2 + em * 0.5F;
  label.text = std::move(text);
  label.centre = std::clamp(x, plot_.min.x - gutter_ + label.half,
                            std::max(plot_.max.x - label.half, plot_.min.x));
  return label;
}

TimelinePanel::AxisLabel TimelinePanel::cursor_label(const PanelContext& context) const {
  const TimeAxis& axis = context.state.axis;
  const double offset = axis.to_pixel(static_cast<double>(context.state.cursor_ns));
  if (rows_.empty() || offset < 0 || offset > axis.width()) return {};
  const float x = plot_.min.x + static_cast<float>(std::floor(offset));
  return label_at(context, x, format_time(context.state.cursor_ns));
}

// In the middle of the range, or beside the cursor's.
TimelinePanel::AxisLabel TimelinePanel::range_label(const PanelContext& context,
                                                    const AxisLabel& cursor) const {
  const auto& range = context.state.range;
  const TimeAxis& axis = context.state.axis;
  if (!range || rows_.empty()) return {};
  const double begin = std::max(axis.to_pixel(static_cast<double>(range->begin_ns)), 0.0);
  const double end = std::min(axis.to_pixel(static_cast<double>(range->end_ns)), axis.width());
  if (begin > axis.width() || end < 0) return {};
  AxisLabel label = label_at(context, plot_.min.x + static_cast<float>((begin + end) / 2),
                             "A to B " + format_duration(range->end_ns - range->begin_ns));
  if (cursor.touches(label.centre, label.half)) {
    const float beside = cursor.half + label.half + 2;
    label.centre = cursor.centre + (label.centre < cursor.centre ? -beside : beside);
  }
  return label;
}

void TimelinePanel::draw_label(const PanelContext& context, const AxisLabel& label, Colour ground,
                               Colour text) const {
  if (label.text.empty()) return;
  ImDrawList* list = ImGui::GetWindowDrawList();
  ImFont* font = context.fonts.small;
  const float em = font->FontSize;
  const float top = plot_.min.y - em * 1.85F;
  list->AddRectFilled({label.centre - label.half, top},
                      {label.centre + label.half, top + em * 1.5F}, to_u32(ground), em * 0.3F);
  draw_text(list, font, {label.centre, top + em * 0.22F}, text, label.text, Align::kCentre);
}

void TimelinePanel::place_rows(const PanelContext& context, ImVec2 origin, float height) {
  const float gap = std::floor(line_height(context) * 0.25F);
  rows_.clear();
  tracks_.assign(context.document.tracks.size(), {});
  const std::vector<const TrackRow*> shown = context.state.tracks.shown();
  float weights = 0;
  float room = height - gap;
  for (const TrackRow* row : shown) {
    const RowHeight wanted = height_of(context, *row);
    weights += wanted.weight;
    room -= gap + (wanted.weight > 0 ? 0 : wanted.least);
  }
  float y = origin.y + gap;
  for (const TrackRow* row : shown) {
    const RowHeight wanted = height_of(context, *row);
    const float share = weights > 0 ? room * wanted.weight / weights : 0;
    const float high = std::floor(std::max(share, wanted.least));
    const Box box{{plot_.min.x, y}, {plot_.max.x, y + high}};
    if (row->kind == TrackKind::kUsage) tracks_[row->index] = box;
    rows_.push_back({*row, box});
    y += high + gap;
  }
}

void TimelinePanel::draw_rows(const PanelContext& context, float height) {
  const float em = line_height(context);
  const ImVec2 origin = ImGui::GetCursorScreenPos();
  place_rows(context, origin, height);
  if (rows_.empty()) {
    const bool nothing = context.document.tracks.empty();
    draw_text(ImGui::GetWindowDrawList(), context.fonts.regular,
              {origin.x + ImGui::GetContentRegionAvail().x / 2, origin.y + height / 2 - em},
              context.colours().text_dim,
              nothing ? "This trace holds no allocations"
                      : "Every track is hidden: Ctrl-K, then \"show all tracks\"",
              Align::kCentre);
    hovered_ = false;
    bars_.clear();
    return;
  }
  const float total = rows_.back().box.max.y - origin.y + em * 0.25F;
  ImGui::InvisibleButton("gutter", {gutter_, total});
  if (ImGui::IsItemClicked()) {
    const Row* row = row_at(ImGui::GetIO().MousePos.y);
    if (row != nullptr && row->track.kind == TrackKind::kUsage) {
      context.state.select(context.document.tracks[row->track.index].curve.series);
    }
  }
  if (ImGui::IsItemHovered() && ImGui::IsMouseClicked(ImGuiMouseButton_Right)) {
    if (const Row* row = row_at(ImGui::GetIO().MousePos.y)) {
      menu_row_ = row->track;
      ImGui::OpenPopup("track");
    }
  }
  if (ImGui::IsItemHovered() && ImGui::GetIO().MouseWheel != 0.0F) {
    ImGui::SetScrollY(ImGui::GetScrollY() - ImGui::GetIO().MouseWheel * em * 4.0F);
  }
  draw_row_menu(context);
  ImGui::SetCursorScreenPos({plot_.min.x, origin.y});
  ImGui::InvisibleButton("plot", {plot_.width(), total});
  handle_mouse(context);

  bars_.clear();  // not before: what is clicked is what was seen
  const float shown_top = ImGui::GetWindowPos().y;
  for (const Row& row : rows_) {
    if (row.box.max.y < shown_top || row.box.min.y > shown_top + height) continue;
    draw_row(context, row);
  }
  paint_moments(context, {{plot_.min.x, shown_top}, {plot_.max.x, shown_top + height}});
  draw_cursor_line(context);
}

void TimelinePanel::draw_row(const PanelContext& context, const Row& row) {
  const TrackArea area{context,
                       ImGui::GetWindowDrawList(),
                       {{row.box.min.x - gutter_, row.box.min.y}, {row.box.min.x, row.box.max.y}},
                       row.box};
  switch (row.track.kind) {
    case TrackKind::kPhases:
      paint_phases(area);
      break;
    case TrackKind::kUsage:
      paint_usage(area, context.document.tracks[row.track.index]);
      break;
    case TrackKind::kBlocks:
      paint_blocks(area, context.activity->maps[row.track.index], &bars_);
      break;
    case TrackKind::kStream:
      paint_stream(area, context.activity->streams[row.track.index]);
      break;
    case TrackKind::kRanges:
      paint_ranges(area, context.activity->ranges[row.track.index]);
      break;
    case TrackKind::kThread:
      paint_thread(area, context.activity->threads[row.track.index]);
      break;
    case TrackKind::kSamples:
      paint_samples(area, context.activity->samples[row.track.index]);
      break;
  }
}

void TimelinePanel::draw_row_menu(const PanelContext& context) {
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {10, 8});
  if (ImGui::BeginPopup("track")) {
    TrackList& tracks = context.state.tracks;
    text_coloured(context.colours().text_dim, menu_row_.name);
    ImGui::Separator();
    if (ImGui::MenuItem(menu_row_.pinned ? "Unpin" : "Pin to the top")) {
      tracks.pin(menu_row_, !menu_row_.pinned);
    }
    if (ImGui::MenuItem("Move up")) tracks.move(menu_row_, -1);
    if (ImGui::MenuItem("Move down")) tracks.move(menu_row_, 1);
    if (ImGui::MenuItem("Hide")) tracks.hide(menu_row_, true);
    if (menu_row_.kind == TrackKind::kBlocks) {
      ImGui::MenuItem("Packed by size", "B", &context.state.packed);
    }
    ImGui::Separator();
    for (const TrackRow& row : tracks.all()) {
      bool shown = !row.hidden;
      if (ImGui::MenuItem(row.name.c_str(), nullptr, &shown)) {
        tracks.hide(row, !shown);
        break;  // the list has changed
      }
    }
    ImGui::EndPopup();
  }
  ImGui::PopStyleVar();
}

void TimelinePanel::draw_cursor_line(const PanelContext& context) const {
  const TimeAxis& axis = context.state.axis;
  const double offset = axis.to_pixel(static_cast<double>(context.state.cursor_ns));
  if (offset < 0 || offset > axis.width()) return;
  const float x = plot_.min.x + static_cast<float>(std::floor(offset));
  const float above = context.fonts.small->FontSize * 0.35F;  // up to its label
  ImGui::GetWindowDrawList()->AddLine({x, plot_.min.y - above}, {x, plot_.max.y},
                                      to_u32(with_alpha(context.colours().cursor, 0.75)));
}

const TimelinePanel::Row* TimelinePanel::row_at(float y) const {
  const auto found =
      std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) { return row.box.holds_y(y); });
  return found == rows_.end() ? nullptr : &*found;
}

}  // namespace tidemark::viewer
