// Usage of one series told apart by the layers of the model, as CategoryCurves does by category:
// curves that at every moment add up to the usage curve. Which layers: the modules of that depth at
// which the model branches, the largest of them by themselves.
//
//   GPT2LMHeadModel -> GPT2Model -> GPT2Block[0], GPT2Block[1], ... each a part
//
// Immutable; any thread may read it. The function reads through a Reader of the calling thread.
#pragma once

#include <string>
#include <vector>

#include "tidemark/analyzer/categories.h"

namespace tidemark::viewer {

struct LayerSplit {
  static constexpr size_t kMostLayers =
      14;  // by themselves; beside them "other layers", "no layer"
  struct Part {
    std::string name;
    std::vector<analyzer::UsagePoint> points;
    bool rest = false;  // no single layer
  };
  analyzer::Series series;
  std::vector<Part> parts;       // in order of the layers' first call; rests last
  std::vector<size_t> of_layer;  // into parts, for each of SeriesBlocks::layers
  size_t of_none = 0;

  size_t part_of(const analyzer::CategoryBlock* block) const {
    if (block == nullptr || block->place.layer < 0) return of_none;
    return of_layer[static_cast<size_t>(block->place.layer)];
  }
};

// Without parts where the blocks are of no layers. Errors: what the Reader says.
[[nodiscard]] Result<LayerSplit> split_by_layer(const trace::Reader& reader,
                                                const analyzer::SeriesBlocks& blocks,
                                                int64_t peak_ns);

}  // namespace tidemark::viewer
