#include "curve_painter.h"

#include <algorithm>
#include <cmath>

#include "tidemark/viewer/style.h"

namespace tidemark::viewer {
namespace {

// Calls visit(first, end, column) for each run of equal columns.
template <class Visit>
void for_runs(std::span<const Column> columns, Visit visit) {
  for (size_t i = 0; i < columns.size();) {
    size_t end = i + 1;
    while (end < columns.size() && columns[end] == columns[i]) ++end;
    visit(i, end, columns[i]);
    i = end;
  }
}

// One step up or down and nothing else: what it covers is an edge, not a band.
bool single_step(const Column& column, int64_t before) {
  return column.extremes.min == std::min(before, column.last) &&
         column.extremes.max == std::max(before, column.last);
}

}  // namespace

float CurvePainter::y_of(int64_t bytes) const {
  return origin.y +
         static_cast<float>(std::round(values.to_pixel(static_cast<double>(bytes), height)));
}

void CurvePainter::fill(std::span<const Column> columns, Colour colour) const {
  const float bottom = origin.y + height;
  const ImU32 low = to_u32(with_alpha(colour, 0.10));
  const auto shade = [&](float y) {  // one gradient for the whole box, however high the curve is
    return to_u32(with_alpha(colour, 0.10 + 0.34 * ((bottom - y) / height)));
  };
  for_runs(columns, [&](size_t first, size_t end, const Column& column) {
    if (column.extremes.max <= 0) return;
    const float x0 = origin.x + static_cast<float>(first);
    const float x1 = origin.x + static_cast<float>(end);
    const float top = y_of(column.extremes.max);
    list->AddRectFilledMultiColor({x0, top}, {x1, bottom}, shade(top), shade(top), low, low);
  });
}

void CurvePainter::line(std::span<const Column> columns, Colour colour, float thickness) const {
  const ImU32 solid = to_u32(colour);
  const ImU32 band = to_u32(with_alpha(colour, 0.55));
  int64_t before = columns.empty() ? 0 : columns.front().last;
  for_runs(columns, [&](size_t first, size_t end, const Column& column) {
    const float x0 = origin.x + static_cast<float>(first);
    const float x1 = origin.x + static_cast<float>(end);
    const float top = y_of(column.extremes.max) - thickness / 2;
    const float low = y_of(column.extremes.min) + thickness / 2;
    const float joint = y_of(before);
    if (low - top > thickness && !single_step(column, before)) {
      list->AddRectFilled({x0, top}, {x1, top + thickness}, solid);
      list->AddRectFilled({x0, top + thickness}, {x1, low}, band);
    } else {
      list->AddRectFilled({x0, top}, {x1, low}, solid);
    }
    // A change exactly between two columns is in neither: join them.
    if (joint < top || joint > low) {
      list->AddRectFilled({x0 - thickness / 2, std::min(joint, top)},
                          {x0 + thickness / 2, std::max(joint, low)}, solid);
    }
    before = column.last;
  });
}

}  // namespace tidemark::viewer
