#include "colouring.h"

namespace tidemark::viewer {
namespace {

const LayerSplit* layers_of(const PanelContext& context, const analyzer::Series& series) {
  if (context.insight == nullptr || context.state.colouring != Colouring::kLayer) return nullptr;
  const LayerSplit* split = context.insight->layers_of(series);
  return split == nullptr || split->parts.empty() ? nullptr : split;
}

}  // namespace

std::vector<ColourPart> colour_parts(const PanelContext& context, const analyzer::Series& series) {
  std::vector<ColourPart> parts;
  if (const LayerSplit* split = layers_of(context, series)) {
    for (size_t i = 0; i < split->parts.size(); ++i) {
      const LayerSplit::Part& part = split->parts[i];
      if (part.points.empty()) continue;
      parts.push_back({part.name, layer_colour(i, part.rest, context.state.theme), &part.points});
    }
    return parts;
  }
  if (context.insight == nullptr || context.state.colouring != Colouring::kCategory) return parts;
  const CategoryCurves* categories = context.insight->categories_of(series);
  if (categories == nullptr) return parts;
  for (const CategoryCurves::Curve& curve : categories->curves) {
    parts.push_back({category_text(curve.category),
                     category_colour(curve.category, context.state.theme), &curve.points});
  }
  return parts;
}

Colour block_colour(const PanelContext& context, const analyzer::Series& series,
                    trace::AllocationId id) {
  const analyzer::SeriesBlocks* blocks =
      context.insight == nullptr ? nullptr : context.insight->blocks_of(series);
  const analyzer::CategoryBlock* block = blocks == nullptr ? nullptr : blocks->find(id);
  if (const LayerSplit* split = layers_of(context, series)) {
    const size_t part = split->part_of(block);
    return layer_colour(part, split->parts[part].rest, context.state.theme);
  }
  if (blocks == nullptr || context.state.colouring != Colouring::kCategory) {
    return series_colour(series, context.state.theme);
  }
  return category_colour(block == nullptr ? analyzer::Category::kUnknown : block->category,
                         context.state.theme);
}

}  // namespace tidemark::viewer
