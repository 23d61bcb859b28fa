#include "tidemark/viewer/timeline_panel.h"

#include <algorithm>
#include <cmath>

#include "curve_painter.h"
#include "tidemark/viewer/format.h"
#include "tidemark/viewer/input.h"
#include "tidemark/viewer/value_axis.h"

namespace tidemark::viewer {
namespace {

constexpr double kWheelZoom = 1.25;
constexpr double kKeyPansPerSecond = 0.9;   // widths
constexpr double kKeyZoomsPerSecond = 6.0;  // factor
constexpr float kLeastLines = 3.8F;         // of text: name, value, peak
constexpr float kDragThreshold = 4.0F;      // pixels before a press is a drag

// A framework's pool is what people come for, and carries two lines.
float weight(const Track& track) {
  return track.curve.series.layer == trace::Layer::kPool ? 1.8F : 1.0F;
}

float line_height(const PanelContext& context) { return context.fonts.regular->FontSize; }

// Room above the highest value for the peak's label.
ValueAxis value_axis(const PanelContext& context, const Track& track, float height) {
  const double room = (context.fonts.small->FontSize * 1.6) / std::max(height, 1.0F);
  return ValueAxis(track.top_bytes, std::clamp(room, 0.05, 0.45));
}

void draw_peak(const PanelContext& context, const Track& track, const TimelinePanel::Box& box,
               const ValueAxis& values) {
  const TimeAxis& axis = context.state.axis;
  const double offset = axis.to_pixel(static_cast<double>(track.curve.peak_ns));
  if (track.curve.peak_bytes <= 0 || offset < 0 || offset > axis.width()) return;
  ImDrawList* list = ImGui::GetWindowDrawList();
  const Colour colour = series_colour(track.curve.series, context.state.theme);
  const float em = context.fonts.small->FontSize;
  const ImVec2 at{box.min.x + static_cast<float>(offset),
                  box.min.y + static_cast<float>(values.to_pixel(
                                  static_cast<double>(track.curve.peak_bytes), box.height()))};
  list->AddCircleFilled(at, em * 0.34F, to_u32(context.colours().plot), 20);
  list->AddCircle(at, em * 0.30F, to_u32(colour), 20, em * 0.14F);
  const std::string label = "peak " + format_bytes(track.curve.peak_bytes);
  const float width = text_width(context.fonts.small, label);
  const bool left = at.x + em + width > box.max.x;
  // Above every line of the track, so that none strikes it through.
  const float above = box.min.y + static_cast<float>(values.to_pixel(
                                      static_cast<double>(track.top_bytes), box.height()));
  draw_text(list, context.fonts.small,
            {left ? at.x - em * 0.6F - width : at.x + em * 0.6F, above - em * 1.25F},
            context.colours().text, label);
}

}  // namespace

void TimelinePanel::draw(const PanelContext& context, float height) {
  const float em = line_height(context);
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
  draw_tracks(context, std::max(height - axis_height, 1.0F));
  ImGui::EndChild();
  draw_axis(context, {{plot_.min.x, origin.y}, {plot_.max.x, plot_.min.y}});
  draw_cursor_label(context);
  if (hovered_ && !dragged_) draw_hover(context);
}

void TimelinePanel::draw_axis(const PanelContext& context, const Box& box) const {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const TimeAxis& axis = context.state.axis;
  ImFont* font = context.fonts.small;
  const float baseline = box.max.y - 1.0F;
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
    draw_text(list, font, {centre, box.min.y + font->FontSize * 0.25F}, context.colours().text_dim,
              tick.label, Align::kCentre);
  }
  list->PopClipRect();
}

void TimelinePanel::draw_tracks(const PanelContext& context, float height) {
  const float em = line_height(context);
  const auto& tracks = context.document.tracks;
  tracks_.clear();
  if (tracks.empty()) {
    const ImVec2 at = ImGui::GetCursorScreenPos();
    draw_text(ImGui::GetWindowDrawList(), context.fonts.regular,
              {at.x + ImGui::GetContentRegionAvail().x / 2, at.y + height / 2 - em},
              context.colours().text_dim, "This trace holds no allocations", Align::kCentre);
    hovered_ = false;
    return;
  }
  const ImVec2 origin = ImGui::GetCursorScreenPos();
  const float total = place_tracks(context, origin, height);
  ImGui::InvisibleButton("gutter", {gutter_, total});
  if (ImGui::IsItemClicked()) {
    if (const Track* track = track_at(context, ImGui::GetIO().MousePos.y)) {
      context.state.select(track->curve.series);
    }
  }
  if (ImGui::IsItemHovered() && ImGui::GetIO().MouseWheel != 0.0F) {
    ImGui::SetScrollY(ImGui::GetScrollY() - ImGui::GetIO().MouseWheel * em * 4.0F);
  }
  ImGui::SetCursorScreenPos({plot_.min.x, origin.y});
  ImGui::InvisibleButton("plot", {plot_.width(), total});
  handle_mouse(context);

  const float shown_top = ImGui::GetWindowPos().y;
  for (size_t i = 0; i < tracks.size(); ++i) {
    if (tracks_[i].max.y < shown_top || tracks_[i].min.y > shown_top + height) continue;
    draw_gutter(context, tracks[i], tracks_[i]);
    draw_track(context, tracks[i], tracks_[i], &columns_);
  }
  draw_cursor_line(context);
}

void TimelinePanel::draw_track(const PanelContext& context, const Track& track, const Box& box,
                               std::vector<Column>* columns) const {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const TimeAxis& axis = context.state.axis;
  const Palette& colours = context.colours();
  const bool selected = track.curve.series == context.state.selected;
  const ValueAxis values = value_axis(context, track, box.height());
  list->AddRectFilled(box.min, box.max, to_u32(selected ? colours.plot_selected : colours.plot));
  list->PushClipRect(box.min, box.max, true);

  for (const int64_t bytes : values.ticks(box.height(), context.fonts.small->FontSize * 1.9)) {
    const float y =
        box.min.y +
        static_cast<float>(std::floor(values.to_pixel(static_cast<double>(bytes), box.height())));
    list->AddLine({box.min.x, y}, {box.max.x, y}, to_u32(colours.grid));
  }
  for (const TimeTick& tick : axis.ticks(text_width(context.fonts.small, "0"))) {
    const float x = box.min.x + static_cast<float>(
                                    std::floor(axis.to_pixel(static_cast<double>(tick.time_ns))));
    list->AddLine({x, box.min.y}, {x, box.max.y}, to_u32(with_alpha(colours.grid, 0.6)));
  }

  const Colour colour = series_colour(track.curve.series, context.state.theme);
  const CurvePainter painter{list, box.min, box.height(), values};
  track.pyramid.columns(axis, columns);
  painter.fill(*columns, colour);
  if (!track.reserved.empty()) {
    std::vector<Column> reserved;
    track.reserved_pyramid.columns(axis, &reserved);
    painter.line(reserved, mix(colour, colours.text, 0.55), 1.0F);
  }
  painter.line(*columns, colour, 2.0F);
  draw_peak(context, track, box, values);
  list->PopClipRect();
  list->AddLine({box.min.x, box.max.y}, box.max, to_u32(colours.border));
}

void TimelinePanel::draw_gutter(const PanelContext& context, const Track& track,
                                const Box& box) const {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const Palette& colours = context.colours();
  const Fonts& fonts = context.fonts;
  const float em = line_height(context);
  const Colour colour = series_colour(track.curve.series, context.state.theme);
  const bool selected = track.curve.series == context.state.selected;
  const float left = box.min.x - gutter_;
  list->AddRectFilled({left, box.min.y}, {box.min.x, box.max.y},
                      to_u32(selected ? colours.plot_selected : colours.plot));
  list->AddRectFilled({left, box.min.y}, {left + (selected ? 4.0F : 2.0F), box.max.y},
                      to_u32(selected ? colour : with_alpha(colour, 0.7)));

  list->PushClipRect({left, box.min.y}, {box.min.x, box.max.y}, true);
  const ValueAxis values = value_axis(context, track, box.height());
  for (const int64_t bytes : values.ticks(box.height(), fonts.small->FontSize * 1.9)) {
    const float y =
        box.min.y + static_cast<float>(values.to_pixel(static_cast<double>(bytes), box.height()));
    if (y > box.min.y + em * 0.4F) {
      draw_text(list, fonts.small, {box.min.x - em * 0.5F, y - fonts.small->FontSize * 0.55F},
                with_alpha(colours.text_dim, 0.85), format_bytes_tick(bytes), Align::kRight);
    }
  }
  const float x = left + em * 0.9F;
  float y = box.min.y + em * 0.35F;
  draw_text(list, fonts.bold, {x, y}, colours.text, elide(fonts.bold, track.name, gutter_ * 0.66F));
  y += em * 1.3F;
  draw_text(list, fonts.regular, {x, y}, colour,
            format_bytes(track.pyramid.value_at(context.state.cursor_ns)));
  y += em * 1.25F;
  draw_text(list, fonts.small, {x, y}, colours.text_dim,
            "peak " + format_bytes(track.curve.peak_bytes));
  y += em * 1.15F;
  if (!track.reserved.empty() && y + em < box.max.y) {
    draw_text(list, fonts.small, {x, y}, colours.text_dim,
              "reserved " + format_bytes(track.reserved_pyramid.value_at(context.state.cursor_ns)));
  }
  list->PopClipRect();
}

void TimelinePanel::draw_cursor_line(const PanelContext& context) const {
  const TimeAxis& axis = context.state.axis;
  const double offset = axis.to_pixel(static_cast<double>(context.state.cursor_ns));
  if (offset < 0 || offset > axis.width()) return;
  const float x = plot_.min.x + static_cast<float>(std::floor(offset));
  ImGui::GetWindowDrawList()->AddLine({x, plot_.min.y}, {x, plot_.max.y},
                                      to_u32(with_alpha(context.colours().cursor, 0.75)));
}

void TimelinePanel::draw_cursor_label(const PanelContext& context) const {
  const TimeAxis& axis = context.state.axis;
  const double offset = axis.to_pixel(static_cast<double>(context.state.cursor_ns));
  if (tracks_.empty() || offset < 0 || offset > axis.width()) return;
  ImDrawList* list = ImGui::GetWindowDrawList();
  const Palette& colours = context.colours();
  ImFont* font = context.fonts.small;
  const float em = font->FontSize;
  const float x = plot_.min.x + static_cast<float>(std::floor(offset));
  const std::string label = format_time(context.state.cursor_ns);
  const float half = text_width(font, label) / 2 + em * 0.5F;
  const float centre =
      std::clamp(x, plot_.min.x - gutter_ + half, std::max(plot_.max.x - half, plot_.min.x));
  const float top = plot_.min.y - em * 1.85F;
  list->AddLine({x, top}, {x, plot_.min.y}, to_u32(with_alpha(colours.cursor, 0.75)));
  list->AddRectFilled({centre - half, top}, {centre + half, top + em * 1.5F},
                      to_u32(colours.cursor), em * 0.3F);
  draw_text(list, font, {centre, top + em * 0.22F}, colours.background, label, Align::kCentre);
}

void TimelinePanel::draw_hover(const PanelContext& context) const {
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  const Track* track = track_at(context, mouse.y);
  if (track == nullptr) return;
  const TimeAxis& axis = context.state.axis;
  const int column = static_cast<int>(std::floor(mouse.x - plot_.min.x));
  const int64_t begin = axis.column_begin_ns(column);
  const int64_t end = axis.column_begin_ns(column + 1);
  const Extremes extremes = track->pyramid.over(begin, end);
  const Palette& colours = context.colours();
  ImGui::GetWindowDrawList()->AddLine({std::floor(mouse.x), plot_.min.y},
                                      {std::floor(mouse.x), plot_.max.y},
                                      to_u32(with_alpha(colours.text_dim, 0.35)));

  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {12, 9});
  ImGui::BeginTooltip();
  text_coloured(colours.text_dim, format_time_exact(std::clamp<int64_t>(
                                      begin, axis.extent_begin_ns(), axis.extent_end_ns())));
  text_coloured(series_colour(track->curve.series, context.state.theme), track->name);
  const auto value = [&](const char* name, int64_t bytes) {
    text_coloured(colours.text_dim, name);
    ImGui::SameLine(line_height(context) * 6.0F);
    ImGui::TextUnformatted(format_bytes(bytes).c_str());
    ImGui::SameLine();
    text_coloured(colours.text_dim, format_bytes_exact(bytes));
  };
  if (extremes.min == extremes.max) {
    value("live", extremes.max);
  } else {
    value("highest", extremes.max);
    value("lowest", extremes.min);
  }
  if (!track->reserved.empty()) value("reserved", track->reserved_pyramid.over(begin, end).max);
  ImGui::EndTooltip();
  ImGui::PopStyleVar();
}

void TimelinePanel::handle_mouse(const PanelContext& context) {
  const ImGuiIO& io = ImGui::GetIO();
  ViewState& state = context.state;
  hovered_ = ImGui::IsItemHovered();
  const double pixel = io.MousePos.x - plot_.min.x;
  if (hovered_ && io.MouseWheel != 0.0F) {
    if (io.KeyShift) {
      ImGui::SetScrollY(ImGui::GetScrollY() - io.MouseWheel * line_height(context) * 4.0F);
    } else {
      state.axis.zoom_about(pixel, std::pow(kWheelZoom, static_cast<double>(io.MouseWheel)));
    }
  }
  if (hovered_ && io.MouseWheelH != 0.0F) state.axis.pan_by(io.MouseWheelH * 40.0);
  if (ImGui::IsItemActivated()) dragged_ = false;
  if (ImGui::IsItemActive() && ImGui::IsMouseDragging(ImGuiMouseButton_Left, kDragThreshold)) {
    dragged_ = true;
    state.axis.pan_by(ImGui::GetMouseDragDelta(ImGuiMouseButton_Left, kDragThreshold).x);
    ImGui::ResetMouseDragDelta();
  } else if (ImGui::IsItemActive() && dragged_) {
    // Below the threshold again after the reset: it is still the same drag.
    state.axis.pan_by(ImGui::GetMouseDragDelta(ImGuiMouseButton_Left, 0.0F).x);
    ImGui::ResetMouseDragDelta();
  }
  if (ImGui::IsItemDeactivated()) {
    const Track* track = track_at(context, io.MousePos.y);
    if (!dragged_ && hovered_ && track != nullptr) {
      const int column = static_cast<int>(std::floor(pixel));
      state.select(track->curve.series);
      state.set_cursor(track->pyramid.peak_moment(state.axis.column_begin_ns(column),
                                                  state.axis.column_begin_ns(column + 1)));
    }
    dragged_ = false;
  }
  if (hovered_ && ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) state.axis.frame_all();
}

void TimelinePanel::handle_keys(const PanelContext& context) const {
  const ImGuiIO& io = ImGui::GetIO();
  if (io.WantTextInput || io.KeyCtrl || io.KeyAlt) return;
  ViewState& state = context.state;
  // A long frame (the first after a pause) is not a long press.
  const double seconds = std::min(io.DeltaTime, 0.1F);
  const double about = hovered_ ? io.MousePos.x - plot_.min.x : state.axis.width() / 2;
  if (key_held(kKeyA)) state.axis.pan_by(state.axis.width() * kKeyPansPerSecond * seconds);
  if (key_held(kKeyD)) state.axis.pan_by(-state.axis.width() * kKeyPansPerSecond * seconds);
  if (key_held(kKeyW)) state.axis.zoom_about(about, std::pow(kKeyZoomsPerSecond, seconds));
  if (key_held(kKeyS)) state.axis.zoom_about(about, std::pow(kKeyZoomsPerSecond, -seconds));
  if (key_pressed(kKeyF)) state.axis.frame_all();
  if (key_pressed(kKeyP)) state.go_to_peak(context.document);
  if (key_pressed(kKeyComma)) state.step_cursor(context.document, false);
  if (key_pressed(kKeyPeriod)) state.step_cursor(context.document, true);
}

float TimelinePanel::place_tracks(const PanelContext& context, ImVec2 origin, float height) {
  const float em = line_height(context);
  const float gap = std::floor(em * 0.4F);
  const auto& tracks = context.document.tracks;
  float weights = 0;
  for (const Track& track : tracks) weights += weight(track);
  const float room = height - gap * static_cast<float>(tracks.size() + 1);
  float y = origin.y + gap;
  for (const Track& track : tracks) {
    const float lowest = em * kLeastLines * (weight(track) > 1.0F ? 1.25F : 1.0F);
    const float high = std::floor(std::max(room * weight(track) / weights, lowest));
    tracks_.push_back({{plot_.min.x, y}, {plot_.max.x, y + high}});
    y += high + gap;
  }
  return y - origin.y;
}

const Track* TimelinePanel::track_at(const PanelContext& context, float y) const {
  for (size_t i = 0; i < tracks_.size(); ++i) {
    if (y >= tracks_[i].min.y && y < tracks_[i].max.y) return &context.document.tracks[i];
  }
  return nullptr;
}

}  // namespace tidemark::viewer
