// A usage curve as a stack of categories or layers, for each pixel column at the moment at which
// the column's usage is highest: the parts then add up to the exact peak. Pure.
#pragma once

#include <array>
#include <vector>

#include "tidemark/viewer/insight.h"

namespace tidemark::viewer {

inline constexpr size_t kMostParts = LayerSplit::kMostLayers + 2;
static_assert(kMostParts >= analyzer::kCategories);
// Tops of the parts from below, in the order of the curves; the last one is the column's peak.
using StackedColumn = std::array<int64_t, kMostParts>;

// Curves that add up to `usage`: at most kMostParts.
using Curves = std::vector<const std::vector<analyzer::UsagePoint>*>;
void stacked_columns(const PeakPyramid& usage, const Curves& parts, const TimeAxis& axis,
                     std::vector<StackedColumn>* out);

}  // namespace tidemark::viewer
