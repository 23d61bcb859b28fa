// Every colour of the viewer, for a dark and a light background. The colours of series are Okabe
// and Ito's, which people with any common colour blindness tell apart; a series keeps its colour in
// every panel. Pure.
#pragma once

#include <cstdint>

#include "tidemark/analyzer/usage.h"

namespace tidemark::viewer {

struct Colour {
  uint8_t red = 0;
  uint8_t green = 0;
  uint8_t blue = 0;
  uint8_t alpha = 255;
  bool operator==(const Colour&) const = default;
};

enum class Theme : uint8_t { kDark, kLight };

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
  Colour good;
  Colour warning;
  Colour bad;
};

const Palette& palette(Theme theme);
Colour series_colour(const analyzer::Series& series, Theme theme);
Colour severity_colour(trace::Severity severity, Theme theme);
Colour with_alpha(Colour colour, double alpha);
// share 0: a, 1: b.
Colour mix(Colour a, Colour b, double share);
// WCAG 2 contrast, 1 to 21.
double contrast(Colour a, Colour b);

}  // namespace tidemark::viewer
