// Every colour of the viewer, for a dark and a light background. The colours of series are Okabe
// and Ito's, which people with any common colour blindness tell apart; a series keeps its colour in
// every panel. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "tidemark/analyzer/categories.h"
#include "tidemark/viewer/slice_lane.h"

namespace tidemark::viewer {

struct Colour {
  uint8_t red = 0;
  uint8_t green = 0;
  uint8_t blue = 0;
  uint8_t alpha = 255;
  bool operator==(const Colour&) const = default;
};

enum class Theme : uint8_t { kDark, kLight };
// By what usage is stacked and blocks are coloured.
enum class Colouring : uint8_t { kCategory, kLayer, kSeries };

struct Palette {
  Colour background;
  Colour panel;
  Colour plot;
  Colour plot_selected;
  Colour border;
  Colour grid;
  Colour text;
  Colour text_dim;
  Colour accent;
  Colour cursor;
  Colour compared;  // a second trace's curves
  Colour good;
  Colour warning;
  Colour bad;
};

const Palette& palette(Theme theme);
Colour series_colour(const analyzer::Series& series, Theme theme);
// What blocks are, and what streams and phases do: the same hues, each told apart by lightness too.
Colour category_colour(analyzer::Category category, Theme theme);
Colour slice_colour(SliceKind kind, Theme theme);
Colour phase_colour(analyzer::Phase phase, Theme theme);
// Of parts that stand in an order, neighbours unlike each other; `rest`: of no single one.
Colour layer_colour(size_t index, bool rest, Theme theme);
// One of a few hues for a name: the same name has the same colour in every picture.
Colour name_colour(std::string_view name, Theme theme);
Colour severity_colour(trace::Severity severity, Theme theme);
Colour with_alpha(Colour colour, double alpha);
// share 0: a, 1: b.
Colour mix(Colour a, Colour b, double share);
// Of the two that which stands out more from `ground`.
Colour readable_on(Colour ground, Colour one, Colour other);
// WCAG 2 contrast, 1 to 21.
double contrast(Colour a, Colour b);

}  // namespace tidemark::viewer
