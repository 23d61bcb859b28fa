#include <algorithm>
#include <cmath>

#include "tidemark/viewer/format.h"
#include "track_painters.h"

namespace tidemark::viewer {

float TrackArea::x_of(double time_ns) const {
  const double pixel = context.state.axis.to_pixel(time_ns);
  // Far outside is as good as just outside, and fits into a float.
  return plot.min.x + static_cast<float>(std::clamp(pixel, -8.0, context.state.axis.width() + 8.0));
}

void TrackArea::ground(bool selected, Colour mark) const {
  const Palette& colours = context.colours();
  const ImU32 back = to_u32(selected ? colours.plot_selected : colours.plot);
  list->AddRectFilled(gutter.min, gutter.max, back);
  list->AddRectFilled(plot.min, plot.max, back);
  list->AddRectFilled(gutter.min, {gutter.min.x + (selected ? 4.0F : 2.0F), gutter.max.y},
                      to_u32(selected ? mark : with_alpha(mark, 0.7)));
}

void TrackArea::grid() const {
  const TimeAxis& axis = context.state.axis;
  const ImU32 colour = to_u32(with_alpha(context.colours().grid, 0.6));
  for (const TimeTick& tick : axis.ticks(text_width(context.fonts.small, "0"))) {
    const float x = plot.min.x + static_cast<float>(
                                     std::floor(axis.to_pixel(static_cast<double>(tick.time_ns))));
    list->AddLine({x, plot.min.y}, {x, plot.max.y}, colour);
  }
}

void TrackArea::captions(std::string_view name,
                         std::initializer_list<std::pair<std::string, Colour>> lines) const {
  const Fonts& fonts = context.fonts;
  const float x = gutter.min.x + em() * 0.9F;
  const float room = gutter.width() - em() * 1.2F;
  float y = gutter.min.y + em() * 0.35F;
  list->PushClipRect(gutter.min, gutter.max, true);
  draw_text(list, fonts.bold, {x, y}, context.colours().text, elide(fonts.bold, name, room));
  y += em() * 1.3F;
  bool first = true;
  for (const auto& [text, colour] : lines) {
    if (text.empty()) continue;
    ImFont* font = first ? fonts.regular : fonts.small;
    if (y + font->FontSize > gutter.max.y) break;
    draw_text(list, font, {x, y}, colour, elide(font, text, room));
    y += em() * (first ? 1.25F : 1.15F);
    first = false;
  }
  list->PopClipRect();
}

float lane_height(const PanelContext& context) {
  return std::floor(context.fonts.small->FontSize * 1.45F);
}

void paint_moments(const PanelContext& context, const TrackBox& plot) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const TimeAxis& axis = context.state.axis;
  const Palette& colours = context.colours();
  const auto x_of = [&](int64_t time_ns) {
    return plot.min.x + static_cast<float>(std::clamp(axis.to_pixel(static_cast<double>(time_ns)),
                                                      -8.0, axis.width() + 8.0));
  };
  list->PushClipRect(plot.min, plot.max, true);
  if (const auto& range = context.state.range) {
    const float left = x_of(range->begin_ns);
    const float right = x_of(range->end_ns);
    list->AddRectFilled({left, plot.min.y}, {right, plot.max.y},
                        to_u32(with_alpha(colours.accent, 0.13)));
    for (const float x : {left, right}) {
      list->AddLine({x, plot.min.y}, {x, plot.max.y}, to_u32(colours.accent), 1.5F);
    }
  }
  if (context.activity != nullptr) {
    float last = -1e9F;
    for (const Moment& moment : context.activity->out_of_memory) {
      const float x = x_of(moment.time_ns);
      if (x - last < 1.0F) continue;  // as many lines as pixels at most
      last = x;
      list->AddLine({x, plot.min.y}, {x, plot.max.y}, to_u32(colours.bad), 1.5F);
      list->AddTriangleFilled({x - 5, plot.min.y}, {x + 5, plot.min.y}, {x, plot.min.y + 8},
                              to_u32(colours.bad));
    }
  }
  list->PopClipRect();
}

std::shared_ptr<const Forecast> PanelContext::forecast_of(const analyzer::Series& series) const {
  if (questions == nullptr) return nullptr;
  const auto answered = questions->forecast().latest();
  if (answered == nullptr || answered->answer == nullptr) return nullptr;
  const Forecast& forecast = *answered->answer;
  const bool mine =
      forecast.error.empty() && !forecast.allocated.empty() && series == forecast.series;
  const bool changed = !forecast.choice.changes_nothing() || !forecast.choice.allocator.empty();
  return mine && changed ? answered->answer : nullptr;
}

}  // namespace tidemark::viewer
