// What the analysis knows of a trace and the timeline shows: iterations and phases, what every
// block of a device is, which kernels used it, and what is wasted. Made after the first picture, in
// the background. Immutable; any thread may read it. Owns its data.
#pragma once

#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/categories.h"
#include "tidemark/analyzer/findings.h"
#include "tidemark/analyzer/uses.h"
#include "tidemark/viewer/document.h"
#include "tidemark/viewer/layer_split.h"
#include "tidemark/viewer/slice_lane.h"

namespace tidemark::viewer {

// Usage of one series by category: curves that at every moment add up to the usage curve.
struct CategoryCurves {
  struct Curve {
    analyzer::Category category{};
    std::vector<analyzer::UsagePoint> points;
  };
  analyzer::Series series;
  std::vector<Curve> curves;  // of the categories that occur, in their order
};

struct Insight {
  analyzer::Structure structure;
  SliceLane iterations;
  SliceLane phases;
  std::vector<std::string> texts;              // of their slices
  std::vector<analyzer::SeriesBlocks> blocks;  // of pools and devices
  std::vector<CategoryCurves> categories;
  std::vector<LayerSplit> layers;
  std::optional<analyzer::UseIndex> uses;
  std::vector<analyzer::Finding> findings;
  std::vector<std::string> failures;  // what could not be found out, and why

  const analyzer::SeriesBlocks* blocks_of(const analyzer::Series& series) const;
  const CategoryCurves* categories_of(const analyzer::Series& series) const;
  const LayerSplit* layers_of(const analyzer::Series& series) const;
  const analyzer::CategoryBlock* block(trace::AllocationId id) const;
  const std::string& text(const Slice& slice) const { return texts[slice.name]; }
};

// What fails is left out and named in `failures`.
Insight find_insight(const trace::Reader& reader, const Document& document,
                     const std::atomic<bool>* stop = nullptr);

// Errors: what the Reader says.
[[nodiscard]] Result<CategoryCurves> category_curves(const trace::Reader& reader,
                                                     const analyzer::SeriesBlocks& blocks);

// For people: "optimizer state".
std::string category_text(analyzer::Category category);

}  // namespace tidemark::viewer
