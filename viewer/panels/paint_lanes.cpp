#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tidemark/viewer/format.h"
#include "track_painters.h"

namespace tidemark::viewer {
namespace {

Colour colour_of(const PanelContext& context, const Slice& slice, const std::string& name) {
  if (slice.kind == SliceKind::kPhase) {
    return phase_colour(static_cast<analyzer::Phase>(slice.id), context.state.theme);
  }
  if (slice.kind == SliceKind::kRange) return name_colour(name, context.state.theme);
  if (slice.kind == SliceKind::kIteration) {
    const Palette& colours = context.colours();
    return mix(colours.text_dim, colours.plot, slice.id % 2 == 0 ? 0.35 : 0.6);
  }
  return slice_colour(slice.kind, context.state.theme);
}

}  // namespace

void paint_lane(const TrackArea& area, const SliceLane& lane, const std::vector<std::string>& texts,
                float top, float height, const Choice& choice) {
  const PanelContext& context = area.context;
  const Palette& colours = context.colours();
  ImFont* font = context.fonts.small;
  std::vector<SliceCell> cells;
  lane.cells(context.state.axis, &cells);
  for (const SliceCell& cell : cells) {
    const Slice& slice = lane.slices()[cell.longest];
    const std::string& name = texts[slice.name];
    const Colour colour = colour_of(context, slice, name);
    const double last = context.state.axis.width();
    const float x0 =
        area.plot.min.x + static_cast<float>(std::clamp(cell.begin_pixel, -4.0, last + 4.0));
    const float x1 =
        area.plot.min.x + static_cast<float>(std::clamp(
                              std::max(cell.end_pixel, cell.begin_pixel + 1.0), -4.0, last + 4.0));
    if (cell.count > 1) {  // folded: as high as the share of time that it took
      const float share = std::max(static_cast<float>(cell.busy), 0.15F);
      area.list->AddRectFilled({x0, top + height * (1 - share)}, {x1, top + height},
                               to_u32(with_alpha(colour, 0.75)));
      continue;
    }
    area.list->AddRectFilled({x0, top}, {std::max(x1, x0 + 1), top + height},
                             to_u32(with_alpha(colour, 0.82)));
    const bool chosen = choice.operation != 0 && choice.operation == slice.id &&
                        choice.operation_kind == slice.kind;
    if (chosen) {
      area.list->AddRect({x0 - 1, top - 1}, {std::max(x1, x0 + 1) + 1, top + height + 1},
                         to_u32(colours.cursor), 0, 0, 2.0F);
    }
    if (x1 - x0 > 2) {
      area.list->AddLine({x1, top}, {x1, top + height}, to_u32(with_alpha(colours.plot, 0.8)));
    }
    const float left = std::max(x0, area.plot.min.x) + 4;
    const float room = std::min(x1, area.plot.max.x) - left - 2;
    if (room > font->FontSize * 2.0F) {
      const bool kernel = slice.kind == SliceKind::kKernel;
      draw_text(area.list, font, {left, top + (height - font->FontSize) / 2},
                readable_on(mix(colours.plot, colour, 0.82), colours.background, colours.text),
                elide(font, kernel ? short_function(name) : name, room));
    }
  }
}

void paint_stream(const TrackArea& area, const StreamTrack& track) {
  const Palette& colours = area.context.colours();
  area.ground(false, slice_colour(SliceKind::kKernel, area.context.state.theme));
  area.list->PushClipRect(area.plot.min, area.plot.max, true);
  area.grid();
  const float height = lane_height(area.context);
  const float top = std::floor(area.plot.min.y + (area.plot.height() - height) / 2);
  paint_lane(area, track.lane, area.context.activity->texts, top, height,
             area.context.state.choice);
  area.list->PopClipRect();
  area.list->AddLine({area.plot.min.x, area.plot.max.y}, area.plot.max, to_u32(colours.border));
  area.captions(track.name, {{format_count(track.lane.slices().size()) + " kernels, copies, sets",
                              colours.text_dim}});
}

void paint_ranges(const TrackArea& area, const RangeTrack& track) {
  const Palette& colours = area.context.colours();
  area.ground(false, slice_colour(SliceKind::kRange, area.context.state.theme));
  area.list->PushClipRect(area.plot.min, area.plot.max, true);
  area.grid();
  const float height = lane_height(area.context);
  float top = area.plot.min.y + 3;
  size_t count = 0;
  for (const SliceLane& lane : track.lanes) {
    paint_lane(area, lane, area.context.activity->texts, top, height - 1, {});
    top += height;
    count += lane.slices().size();
  }
  area.list->PopClipRect();
  area.list->AddLine({area.plot.min.x, area.plot.max.y}, area.plot.max, to_u32(colours.border));
  area.captions(track.name, {{format_count(count) + " ranges", colours.text_dim}});
}

void paint_phases(const TrackArea& area) {
  const Palette& colours = area.context.colours();
  const Insight& insight = *area.context.insight;
  area.ground(false, colours.text_dim);
  area.list->PushClipRect(area.plot.min, area.plot.max, true);
  const float height = lane_height(area.context);
  const float top = area.plot.min.y + 3;
  paint_lane(area, insight.iterations, insight.texts, top, height - 1, {});
  paint_lane(area, insight.phases, insight.texts, top + height, height - 1, {});
  area.list->PopClipRect();
  area.list->AddLine({area.plot.min.x, area.plot.max.y}, area.plot.max, to_u32(colours.border));
  const auto& structure = insight.structure;
  area.captions("iterations and phases",
                {{structure.iterations.empty()
                      ? std::string("nothing repeats")
                      : fmt::format("{} found by {}", format_count(structure.iterations.size()),
                                    analyzer::to_string(structure.basis)),
                  colours.text_dim}});
}

}  // namespace tidemark::viewer
