// A usage curve as a stack of categories, for each pixel column at the moment at which the column's
// usage is highest: the layers then add up to the exact peak. Pure.
#pragma once

#include <array>
#include <vector>

#include "tidemark/viewer/insight.h"

namespace tidemark::viewer {

// Tops of the layers from below, in the order of CategoryCurves::curves; the last one is the
// column's peak.
using StackedColumn = std::array<int64_t, analyzer::kCategories>;

void stacked_columns(const PeakPyramid& usage, const CategoryCurves& categories,
                     const TimeAxis& axis, std::vector<StackedColumn>* out);

}  // namespace tidemark::viewer
