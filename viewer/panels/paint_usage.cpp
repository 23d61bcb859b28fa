#include <algorithm>
#include <cmath>

#include "colouring.h"
#include "curve_painter.h"
#include "tidemark/viewer/format.h"
#include "tidemark/viewer/stacked.h"
#include "track_painters.h"

namespace tidemark::viewer {
namespace {

void value_grid(const TrackArea& area, const ValueAxis& values) {
  const Palette& colours = area.context.colours();
  ImFont* font = area.context.fonts.small;
  const float height = area.plot.height();
  for (const int64_t bytes : values.ticks(height, font->FontSize * 1.9)) {
    const float y =
        area.plot.min.y +
        static_cast<float>(std::floor(values.to_pixel(static_cast<double>(bytes), height)));
    area.list->AddLine({area.plot.min.x, y}, {area.plot.max.x, y}, to_u32(colours.grid));
    if (y > area.plot.min.y + area.em() * 0.4F) {
      draw_text(area.list, font, {area.gutter.max.x - area.em() * 0.5F, y - font->FontSize * 0.55F},
                with_alpha(colours.text_dim, 0.85), format_bytes_tick(bytes), Align::kRight);
    }
  }
}

void draw_peak(const TrackArea& area, const Track& track, const ValueAxis& values) {
  const TimeAxis& axis = area.context.state.axis;
  const double offset = axis.to_pixel(static_cast<double>(track.curve.peak_ns));
  if (track.curve.peak_bytes <= 0 || offset < 0 || offset > axis.width()) return;
  const Colour colour = series_colour(track.curve.series, area.context.state.theme);
  ImFont* font = area.context.fonts.small;
  const float em = font->FontSize;
  const float height = area.plot.height();
  const auto y_of = [&](int64_t bytes) {
    return area.plot.min.y +
           static_cast<float>(values.to_pixel(static_cast<double>(bytes), height));
  };
  const ImVec2 at{area.plot.min.x + static_cast<float>(offset), y_of(track.curve.peak_bytes)};
  area.list->AddCircleFilled(at, em * 0.34F, to_u32(area.context.colours().plot), 20);
  area.list->AddCircle(at, em * 0.30F, to_u32(colour), 20, em * 0.14F);
  const std::string label = "peak " + format_bytes(track.curve.peak_bytes);
  const float width = text_width(font, label);
  const bool left = at.x + em + width > area.plot.max.x;
  // Above every line of the track, so that none strikes it through.
  draw_text(
      area.list, font,
      {left ? at.x - em * 0.6F - width : at.x + em * 0.6F, y_of(track.top_bytes) - em * 1.25F},
      area.context.colours().text, label);
}

// Each part's share of a column as a part of it, at the column's highest moment.
void fill_stacked(const TrackArea& area, const Track& track, const std::vector<ColourPart>& parts,
                  const ValueAxis& values) {
  std::vector<StackedColumn> columns;
  Curves curves;
  for (const ColourPart& part : parts) curves.push_back(part.points);
  stacked_columns(track.pyramid, curves, area.context.state.axis, &columns);
  const float height = area.plot.height();
  const auto y_of = [&](int64_t bytes) {
    return area.plot.min.y +
           static_cast<float>(std::round(values.to_pixel(static_cast<double>(bytes), height)));
  };
  for (size_t i = 0; i < columns.size();) {
    size_t end = i + 1;
    while (end < columns.size() && columns[end] == columns[i]) ++end;
    int64_t below = 0;
    for (size_t k = 0; k < parts.size(); ++k) {
      const int64_t top = columns[i].at(k);
      const float y0 = y_of(top);
      const float y1 = y_of(below);
      below = top;
      if (y1 - y0 < 0.5F) continue;
      area.list->AddRectFilled({area.plot.min.x + static_cast<float>(i), y0},
                               {area.plot.min.x + static_cast<float>(end), y1},
                               to_u32(with_alpha(parts[k].colour, 0.62)));
    }
    i = end;
  }
}

void level_line(const TrackArea& area, const ValueAxis& values, int64_t bytes, Colour colour,
                const std::string& label) {
  if (bytes <= 0 || static_cast<double>(bytes) > values.top_bytes()) return;
  const float y = area.plot.min.y + static_cast<float>(std::floor(values.to_pixel(
                                        static_cast<double>(bytes), area.plot.height())));
  const float dash = area.em() * 0.5F;
  for (float x = area.plot.min.x; x < area.plot.max.x; x += dash * 2) {
    area.list->AddLine({x, y}, {std::min(x + dash, area.plot.max.x), y}, to_u32(colour), 1.5F);
  }
  draw_text(area.list, area.context.fonts.small, {area.plot.max.x - area.em() * 0.4F, y + 2},
            colour, label, Align::kRight);
}

// The second trace's curve, moved so that both begin together.
void draw_compared(const TrackArea& area, const Track& track, const CurvePainter& painter) {
  const Comparison* comparison = area.context.comparison;
  const Track* twin = comparison == nullptr ? nullptr : comparison->find(track.curve.series);
  if (twin == nullptr) return;
  const TimeAxis& axis = area.context.state.axis;
  TimeAxis moved(axis.extent_begin_ns() - comparison->shift_ns,
                 axis.extent_end_ns() - comparison->shift_ns);
  moved.set_width(axis.width());
  moved.show(axis.begin_ns() - static_cast<double>(comparison->shift_ns), axis.span_ns());
  std::vector<Column> columns;
  twin->pyramid.columns(moved, &columns);
  painter.line(columns, area.context.colours().compared, 1.5F);
}

int64_t capacity_line(const PanelContext& context, const Track& track) {
  const trace::Layer layer = track.curve.series.layer;
  if (layer != trace::Layer::kPool && layer != trace::Layer::kDriver) return 0;
  if (track.curve.series.space != trace::Space::kDevice) return 0;
  if (context.state.capacity_bytes > 0) return context.state.capacity_bytes;
  return context.activity == nullptr ? 0 : context.activity->capacity_of(track.curve.series);
}

void grids(const TrackArea& area, const ValueAxis& values) {
  area.list->PushClipRect(area.gutter.min, area.plot.max, true);
  value_grid(area, values);
  area.grid();
  area.list->PopClipRect();
}

}  // namespace

ValueAxis usage_axis(const PanelContext& context, const Track& track, float height) {
  const double room = (context.fonts.small->FontSize * 1.6) / std::max(height, 1.0F);
  int64_t top = track.top_bytes;
  if (const auto forecast = context.forecast_of(track.curve.series)) {
    top = std::max(top, static_cast<int64_t>(forecast->prediction.predicted.reserved));
    top = std::max(top, static_cast<int64_t>(forecast->prediction.predicted.allocated));
  }
  if (context.comparison != nullptr) {
    if (const Track* twin = context.comparison->find(track.curve.series)) {
      top = std::max(top, twin->curve.peak_bytes);
    }
  }
  // A line far above the curve would flatten it: then it is said in words instead.
  const int64_t capacity = capacity_line(context, track);
  if (capacity > 0 && capacity / 3 < top) top = std::max(top, capacity);
  if (context.state.capacity_bytes > 0) top = std::max(top, context.state.capacity_bytes);
  return ValueAxis(top, std::clamp(room, 0.05, 0.45));
}

void paint_usage(const TrackArea& area, const Track& track) {
  const PanelContext& context = area.context;
  const ViewState& state = context.state;
  const Palette& colours = context.colours();
  const bool selected = track.curve.series == state.selected;
  const Colour colour = series_colour(track.curve.series, state.theme);
  area.ground(selected, colour);
  const ValueAxis values = usage_axis(context, track, area.plot.height());
  const int64_t capacity = capacity_line(context, track);
  grids(area, values);

  area.list->PushClipRect(area.plot.min, area.plot.max, true);
  const CurvePainter painter{area.list, area.plot.min, area.plot.height(), values};
  std::vector<Column> columns;
  track.pyramid.columns(state.axis, &columns);
  const std::vector<ColourPart> parts = colour_parts(context, track.curve.series);
  if (parts.size() > 1) {
    fill_stacked(area, track, parts, values);
  } else {
    painter.fill(columns, colour);
  }
  std::vector<Column> more;
  if (!track.reserved.empty()) {
    track.reserved_pyramid.columns(state.axis, &more);
    painter.line(more, mix(colour, colours.text, 0.55), 1.0F);
  }
  painter.line(columns, colour, 2.0F);
  draw_compared(area, track, painter);
  const auto forecast = context.forecast_of(track.curve.series);
  if (forecast != nullptr) {
    forecast->reserved_pyramid.columns(state.axis, &more);
    painter.line(more, with_alpha(colours.accent, 0.55), 1.0F);
    forecast->allocated_pyramid.columns(state.axis, &more);
    painter.line(more, colours.accent, 2.0F);
  }
  level_line(area, values, capacity, colours.bad, "capacity " + format_bytes(capacity));
  draw_peak(area, track, values);
  area.list->PopClipRect();
  area.list->AddLine({area.plot.min.x, area.plot.max.y}, area.plot.max, to_u32(colours.border));

  const auto at_cursor = [&](const PeakPyramid& pyramid) {
    return format_bytes(pyramid.value_at(state.cursor_ns));
  };
  area.captions(
      track.name,
      {{at_cursor(track.pyramid), colour},
       {"peak " + format_bytes(track.curve.peak_bytes), colours.text_dim},
       {track.reserved.empty() ? "" : "reserved " + at_cursor(track.reserved_pyramid),
        colours.text_dim},
       {forecast == nullptr ? ""
                            : "what-if peak " + format_bytes(static_cast<int64_t>(
                                                    forecast->prediction.predicted.allocated)),
        colours.accent},
       {capacity > 0 ? "of " + format_bytes(capacity) : "", colours.text_dim}});
}

void paint_samples(const TrackArea& area, const SampleTrack& track) {
  const ViewState& state = area.context.state;
  const Palette& colours = area.context.colours();
  const Colour colour = name_colour(track.name, state.theme);
  area.ground(false, colour);
  const double room = area.context.fonts.small->FontSize * 0.6 / std::max(area.plot.height(), 1.0F);
  const ValueAxis values(std::max<int64_t>(track.peak, 1), std::clamp(room, 0.05, 0.45));
  if (track.unit == SampleUnit::kBytes) grids(area, values);  // powers of two
  area.list->PushClipRect(area.plot.min, area.plot.max, true);
  if (track.unit != SampleUnit::kBytes) area.grid();
  const CurvePainter painter{area.list, area.plot.min, area.plot.height(), values};
  std::vector<Column> columns;
  track.pyramid.columns(state.axis, &columns);
  painter.fill(columns, colour);
  painter.line(columns, colour, 1.5F);
  area.list->PopClipRect();
  const auto text = [&track](int64_t value) { return format_sample(value, track.unit); };
  area.captions(track.name, {{text(track.pyramid.value_at(state.cursor_ns)), colour},
                             {"most sampled " + text(track.peak), colours.text_dim},
                             {track.limit > 0 ? "of " + text(track.limit) : "", colours.text_dim}});
}

void paint_thread(const TrackArea& area, const ThreadTrack& track) {
  const ViewState& state = area.context.state;
  const Palette& colours = area.context.colours();
  const Colour colour = name_colour(track.name, state.theme);
  area.ground(false, colour);
  const ValueAxis values(std::max<int64_t>(track.most, 1), 0.1);
  area.list->PushClipRect(area.plot.min, area.plot.max, true);
  area.grid();
  const CurvePainter painter{area.list, area.plot.min, area.plot.height(), values};
  std::vector<Column> columns;
  track.pyramid.columns(state.axis, &columns);
  painter.fill(columns, colour);
  painter.line(columns, colour, 1.0F);
  area.list->PopClipRect();
  area.list->AddLine({area.plot.min.x, area.plot.max.y}, area.plot.max, to_u32(colours.border));
  area.captions(track.name, {{format_count(track.allocations) + " allocations", colours.text_dim}});
}

}  // namespace tidemark::viewer
