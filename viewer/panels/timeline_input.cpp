// What the mouse and the keys do to the timeline, and what hovering says.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "colouring.h"
#include "tidemark/viewer/format.h"
#include "tidemark/viewer/input.h"
#include "tidemark/viewer/navigation.h"
#include "tidemark/viewer/timeline_panel.h"
#include "track_painters.h"

namespace tidemark::viewer {
namespace {

constexpr double kWheelZoom = 1.25;
constexpr double kKeyPansPerSecond = 0.9;   // widths
constexpr double kKeyZoomsPerSecond = 6.0;  // factor
constexpr float kDragThreshold = 4.0F;      // pixels before a press is a drag
constexpr float kReach = 4.0F;              // pixels around what is too small to be hit

int column_at(double pixel) { return static_cast<int>(std::floor(pixel)); }

void begin_hint(const PanelContext& context, int64_t time_ns) {
  const TimeAxis& axis = context.state.axis;
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {12, 9});
  ImGui::BeginTooltip();
  text_coloured(
      context.colours().text_dim,
      format_time_exact(std::clamp(time_ns, axis.extent_begin_ns(), axis.extent_end_ns())));
}

void end_hint() {
  ImGui::EndTooltip();
  ImGui::PopStyleVar();
}

void fact(const PanelContext& context, const char* name, const std::string& value,
          const std::string& more = {}) {
  text_coloured(context.colours().text_dim, name);
  ImGui::SameLine(context.fonts.regular->FontSize * 6.0F);
  ImGui::TextUnformatted(value.c_str());
  if (more.empty()) return;
  ImGui::SameLine();
  text_coloured(context.colours().text_dim, more);
}

void curve_hint(const PanelContext& context, const PeakPyramid& pyramid, int64_t begin,
                int64_t end) {
  const Extremes extremes = pyramid.over(begin, end);
  const auto value = [&](const char* name, int64_t bytes) {
    fact(context, name, format_bytes(bytes), format_bytes_exact(bytes));
  };
  if (extremes.min == extremes.max) {
    value("live", extremes.max);
  } else {
    value("highest", extremes.max);
    value("lowest", extremes.min);
  }
}

void usage_hint(const PanelContext& context, const Track& track, int64_t begin, int64_t end) {
  text_coloured(series_colour(track.curve.series, context.state.theme), track.name);
  curve_hint(context, track.pyramid, begin, end);
  if (!track.reserved.empty()) {
    const int64_t bytes = track.reserved_pyramid.over(begin, end).max;
    fact(context, "reserved", format_bytes(bytes), format_bytes_exact(bytes));
  }
  if (const auto forecast = context.forecast_of(track.curve.series)) {
    const int64_t bytes = forecast->allocated_pyramid.over(begin, end).max;
    fact(context, "what-if", format_bytes(bytes), format_bytes_exact(bytes));
  }
  const std::vector<ColourPart> parts = colour_parts(context, track.curve.series);
  const int64_t moment = track.pyramid.peak_moment(begin, end);
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    const auto after = std::upper_bound(
        part->points->begin(), part->points->end(), moment,
        [](int64_t time, const analyzer::UsagePoint& point) { return time < point.time_ns; });
    const int64_t bytes = after == part->points->begin() ? 0 : std::prev(after)->bytes;
    if (bytes == 0) continue;
    text_coloured(part->colour, "\u2022");
    ImGui::SameLine(0, 5);
    fact(context, part->name.c_str(), "");
    ImGui::SameLine(context.fonts.regular->FontSize * 14.0F);
    ImGui::TextUnformatted(format_bytes(bytes).c_str());
  }
}

void block_hint(const PanelContext& context, const DrawnBar& drawn) {
  const Bar& bar = drawn.bar;
  fact(context, "block", format_bytes(static_cast<int64_t>(bar.bytes)),
       format_bytes_exact(static_cast<int64_t>(bar.bytes)));
  fact(context, "lives", format_duration(bar.end_ns - bar.begin_ns),
       "from " + format_time(bar.begin_ns));
  if (context.insight == nullptr) return;
  if (const analyzer::CategoryBlock* block = context.insight->block(bar.id)) {
    fact(context, "is", category_text(block->category),
         fmt::format("{}, {}", analyzer::to_string(block->place.phase),
                     analyzer::to_string(block->sureness)));
  }
}

}  // namespace

const SliceLane* TimelinePanel::lane_at(const PanelContext& context, const Row& row, float y,
                                        const std::vector<std::string>** texts) const {
  const auto index =
      static_cast<size_t>(std::max((y - row.box.min.y - 3) / lane_height(context), 0.0F));
  switch (row.track.kind) {
    case TrackKind::kPhases:
      *texts = &context.insight->texts;
      return index == 0 ? &context.insight->iterations : &context.insight->phases;
    case TrackKind::kStream:
      *texts = &context.activity->texts;
      return &context.activity->streams[row.track.index].lane;
    case TrackKind::kRanges: {
      const auto& lanes = context.activity->ranges[row.track.index].lanes;
      *texts = &context.activity->texts;
      return index < lanes.size() ? &lanes[index] : nullptr;
    }
    case TrackKind::kUsage:
    case TrackKind::kBlocks:
    case TrackKind::kThread:
    case TrackKind::kSamples:
      break;
  }
  return nullptr;
}

const Slice* TimelinePanel::slice_at(const PanelContext& context, const Row& row, ImVec2 at,
                                     const std::vector<std::string>** texts) const {
  const SliceLane* lane = lane_at(context, row, at.y, texts);
  if (lane == nullptr) return nullptr;
  const TimeAxis& axis = context.state.axis;
  const double slack = 2.0 / axis.width() * axis.span_ns();
  const size_t found = lane->at(static_cast<int64_t>(axis.to_ns(at.x - plot_.min.x)),
                                static_cast<int64_t>(std::min(slack, 1e15)));
  return found == SliceLane::npos ? nullptr : &lane->slices()[found];
}

const DrawnBar* TimelinePanel::bar_at(ImVec2 at) const {
  const DrawnBar* nearest = nullptr;
  float best = kReach;
  for (auto drawn = bars_.rbegin(); drawn != bars_.rend(); ++drawn) {  // the topmost first
    const float dx = std::max({drawn->min.x - at.x, at.x - drawn->max.x, 0.0F});
    const float dy = std::max({drawn->min.y - at.y, at.y - drawn->max.y, 0.0F});
    const float distance = std::max(dx, dy);
    if (distance == 0.0F) return &*drawn;
    if (distance < best) {
      best = distance;
      nearest = &*drawn;
    }
  }
  return nearest;
}

void TimelinePanel::draw_hover(const PanelContext& context) const {
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  const Row* row = row_at(mouse.y);
  if (row == nullptr) return;
  const TimeAxis& axis = context.state.axis;
  const int column = column_at(mouse.x - plot_.min.x);
  const int64_t begin = axis.column_begin_ns(column);
  const int64_t end = axis.column_begin_ns(column + 1);
  ImGui::GetWindowDrawList()->AddLine({std::floor(mouse.x), plot_.min.y},
                                      {std::floor(mouse.x), plot_.max.y},
                                      to_u32(with_alpha(context.colours().text_dim, 0.35)));
  begin_hint(context, begin);
  if (row->track.kind == TrackKind::kUsage) {
    usage_hint(context, context.document.tracks[row->track.index], begin, end);
  } else if (row->track.kind == TrackKind::kSamples) {
    const SampleTrack& track = context.activity->samples[row->track.index];
    text_coloured(context.colours().text, track.name);
    if (track.unit == SampleUnit::kBytes) {
      curve_hint(context, track.pyramid, begin, end);
    } else {
      const Extremes extremes = track.pyramid.over(begin, end);
      fact(context, "highest", format_sample(extremes.max, track.unit));
      fact(context, "lowest", format_sample(extremes.min, track.unit));
    }
  } else if (row->track.kind == TrackKind::kThread) {
    const ThreadTrack& track = context.activity->threads[row->track.index];
    text_coloured(context.colours().text, track.name);
    fact(context, "allocations",
         format_count(static_cast<uint64_t>(track.pyramid.over(begin, end).max)),
         "in " + format_duration(track.span_ns));
  } else if (row->track.kind == TrackKind::kBlocks) {
    if (const DrawnBar* drawn = bar_at(mouse)) block_hint(context, *drawn);
  } else {
    const std::vector<std::string>* texts = nullptr;
    if (const Slice* slice = slice_at(context, *row, mouse, &texts)) {
      ImGui::PushTextWrapPos(context.fonts.regular->FontSize * 40.0F);
      ImGui::TextUnformatted((*texts)[slice->name].c_str());
      ImGui::PopTextWrapPos();
      fact(context, "takes", format_duration(slice->end_ns - slice->begin_ns),
           "from " + format_time(slice->begin_ns));
    }
  }
  end_hint();
}

void TimelinePanel::handle_click(const PanelContext& context) {
  ViewState& state = context.state;
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  const Row* row = row_at(mouse.y);
  if (row == nullptr) return;
  state.remember();
  const int column = column_at(mouse.x - plot_.min.x);
  const int64_t begin = state.axis.column_begin_ns(column);
  const int64_t end = state.axis.column_begin_ns(column + 1);
  if (row->track.kind == TrackKind::kUsage) {
    const Track& track = context.document.tracks[row->track.index];
    state.select(track.curve.series);
    state.set_cursor(track.pyramid.peak_moment(begin, end));
    state.range.reset();
  } else if (row->track.kind == TrackKind::kBlocks) {
    if (const DrawnBar* drawn = bar_at(mouse)) {
      Choice choice;
      choice.block = drawn->bar.id;
      choice.block_series = drawn->series;
      choice.block_ns = drawn->bar.begin_ns;
      state.choose(choice);
      state.select(drawn->series);
    } else {
      state.choose({});
    }
  } else if (row->track.kind != TrackKind::kSamples && row->track.kind != TrackKind::kThread) {
    const std::vector<std::string>* texts = nullptr;
    const Slice* slice = slice_at(context, *row, mouse, &texts);
    if (slice == nullptr) {
      state.choose({});
    } else if (row->track.kind == TrackKind::kStream) {
      Choice choice;
      choice.operation = slice->id;
      choice.operation_kind = slice->kind;
      choice.operation_ns = slice->begin_ns;
      state.choose(choice);
      state.set_cursor(slice->begin_ns);
    } else {
      state.set_range(slice->begin_ns, slice->end_ns);
    }
  }
  state.remember();
}

void TimelinePanel::handle_drag(const PanelContext& context) {
  const ImGuiIO& io = ImGui::GetIO();
  ViewState& state = context.state;
  const double pixel = io.MousePos.x - plot_.min.x;
  const bool beyond = ImGui::IsMouseDragging(ImGuiMouseButton_Left, kDragThreshold);
  if (selecting_) {
    if (beyond) dragged_ = true;
    if (dragged_) {
      state.set_range(static_cast<int64_t>(grabbed_ns_),
                      static_cast<int64_t>(state.axis.to_ns(pixel)));
    }
    return;
  }
  // Below the threshold again after the reset it is still the same drag.
  if (beyond || dragged_) {
    const float threshold = dragged_ ? 0.0F : kDragThreshold;
    if (!dragged_) state.remember();
    dragged_ = true;
    state.axis.pan_by(ImGui::GetMouseDragDelta(ImGuiMouseButton_Left, threshold).x);
    ImGui::ResetMouseDragDelta();
  }
}

void TimelinePanel::handle_mouse(const PanelContext& context) {
  const ImGuiIO& io = ImGui::GetIO();
  ViewState& state = context.state;
  hovered_ = ImGui::IsItemHovered();
  const double pixel = io.MousePos.x - plot_.min.x;
  if (hovered_ && io.MouseWheel != 0.0F) {
    if (io.KeyShift) {
      ImGui::SetScrollY(ImGui::GetScrollY() - io.MouseWheel * context.fonts.regular->FontSize * 4);
    } else {
      state.axis.zoom_about(pixel, std::pow(kWheelZoom, static_cast<double>(io.MouseWheel)));
    }
  }
  if (hovered_ && io.MouseWheelH != 0.0F) state.axis.pan_by(io.MouseWheelH * 40.0);
  if (ImGui::IsItemActivated()) {
    dragged_ = false;
    selecting_ = io.KeyShift;
    grabbed_ns_ = state.axis.to_ns(pixel);
  }
  if (ImGui::IsItemActive()) handle_drag(context);
  if (ImGui::IsItemDeactivated()) {
    if (!dragged_ && !selecting_ && hovered_) handle_click(context);
    if (selecting_ && dragged_) state.remember();
    dragged_ = false;
    selecting_ = false;
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
  if (key_pressed(kKeyF)) {
    state.remember();
    state.frame_choice(chosen_span(state, context.activity));
    state.remember();
  }
  if (key_pressed(kKeyP)) state.go_to_peak(context.document);
  if (key_pressed(kKeyComma)) step(state, context.document, context.activity, false);
  if (key_pressed(kKeyPeriod)) step(state, context.document, context.activity, true);
}

}  // namespace tidemark::viewer
