// What colours mean on a series' tracks: the parts that its usage is stacked of and its blocks are
// coloured by, as the user has chosen. One answer for curves, blocks, legend and hints.
#pragma once

#include <string>
#include <vector>

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

struct ColourPart {
  std::string name;
  Colour colour;
  const std::vector<analyzer::UsagePoint>* points = nullptr;
};

// Lowest first. Empty: by series, or nothing tells its parts apart (yet).
std::vector<ColourPart> colour_parts(const PanelContext& context, const analyzer::Series& series);
Colour block_colour(const PanelContext& context, const analyzer::Series& series,
                    trace::AllocationId block);

}  // namespace tidemark::viewer
