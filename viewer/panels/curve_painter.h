// Draws the columns of one curve into one box. A run of equal columns is one rectangle, so a curve
// costs at most a few rectangles a pixel column, however many points it has.
#pragma once

#include <imgui.h>

#include <span>

#include "tidemark/viewer/palette.h"
#include "tidemark/viewer/pyramid.h"
#include "tidemark/viewer/value_axis.h"

namespace tidemark::viewer {

struct CurvePainter {
  ImDrawList* list;
  ImVec2 origin;  // top left of the box; one column is one pixel
  float height;
  ValueAxis values;

  // The area under the curve: strong where memory was held all the time, weaker up to the column's
  // highest value.
  void fill(std::span<const Column> columns, Colour colour) const;
  // From each column's lowest to its highest value, joined to its neighbour.
  void line(std::span<const Column> columns, Colour colour, float thickness) const;

 private:
  float y_of(int64_t bytes) const;
};

}  // namespace tidemark::viewer
