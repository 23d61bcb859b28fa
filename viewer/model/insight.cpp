#include "tidemark/viewer/insight.h"

#include <fmt/format.h>

#include <algorithm>

#include "step_sums.h"

namespace tidemark::viewer {
namespace {

using analyzer::Category;

SliceLane iteration_lane(const analyzer::Structure& structure, std::vector<std::string>* texts) {
  std::vector<Slice> slices;
  for (size_t i = 0; i < structure.iterations.size(); ++i) {
    const analyzer::Iteration& iteration = structure.iterations[i];
    texts->push_back(fmt::format("iteration {}{}", i + 1, iteration.warm_up ? ", warm-up" : ""));
    slices.push_back({iteration.begin_ns, iteration.end_ns, static_cast<int64_t>(i),
                      static_cast<uint32_t>(texts->size() - 1), SliceKind::kIteration});
  }
  return SliceLane(std::move(slices));
}

SliceLane phase_lane(const analyzer::Structure& structure, std::vector<std::string>* texts) {
  const auto first = static_cast<uint32_t>(texts->size());
  for (size_t i = 0; i < analyzer::kPhases; ++i) {
    texts->emplace_back(analyzer::to_string(static_cast<analyzer::Phase>(i)));
  }
  std::vector<Slice> slices;
  for (const analyzer::PhaseSpan& span : structure.phases) {
    const auto phase = static_cast<uint32_t>(span.phase);
    slices.push_back({span.begin_ns, span.end_ns, phase, first + phase, SliceKind::kPhase});
  }
  return SliceLane(std::move(slices));
}

bool of_device(const analyzer::Series& series) { return series.space == trace::Space::kDevice; }

}  // namespace

const analyzer::SeriesBlocks* Insight::blocks_of(const analyzer::Series& series) const {
  const auto found = std::find_if(blocks.begin(), blocks.end(),
                                  [&](const auto& entry) { return entry.series == series; });
  return found == blocks.end() ? nullptr : &*found;
}

const CategoryCurves* Insight::categories_of(const analyzer::Series& series) const {
  const auto found = std::find_if(categories.begin(), categories.end(),
                                  [&](const auto& entry) { return entry.series == series; });
  return found == categories.end() ? nullptr : &*found;
}

const LayerSplit* Insight::layers_of(const analyzer::Series& series) const {
  const auto found = std::find_if(layers.begin(), layers.end(),
                                  [&](const auto& entry) { return entry.series == series; });
  return found == layers.end() ? nullptr : &*found;
}

const analyzer::CategoryBlock* Insight::block(trace::AllocationId id) const {
  for (const analyzer::SeriesBlocks& series : blocks) {
    if (const auto* found = series.find(id)) return found;
  }
  return nullptr;
}

Result<CategoryCurves> category_curves(const trace::Reader& reader,
                                       const analyzer::SeriesBlocks& blocks) {
  std::vector<std::vector<Change>> changes(analyzer::kCategories);
  const auto read = part_changes(
      reader, blocks.series,
      [&](trace::AllocationId id) {
        const analyzer::CategoryBlock* block = blocks.find(id);
        return static_cast<size_t>(block == nullptr ? Category::kUnknown : block->category);
      },
      &changes);
  if (!read) return tl::unexpected(read.error());
  CategoryCurves result{blocks.series, {}};
  for (size_t i = 0; i < analyzer::kCategories; ++i) {
    if (changes.at(i).empty()) continue;
    result.curves.push_back({static_cast<Category>(i), sum_up(std::move(changes.at(i)))});
  }
  return result;
}

std::string category_text(Category category) {
  std::string text = analyzer::to_string(category);
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

Insight find_insight(const trace::Reader& reader, const Document& document,
                     const std::atomic<bool>* stop) {
  Insight insight;
  const auto stopped = [&] { return stop != nullptr && *stop; };
  const auto note = [&](const char* what, const Error& error) {
    insight.failures.push_back(fmt::format("{}: {}", what, error.message));
  };
  auto structure = analyzer::find_structure(reader);
  if (!structure) {
    note("iterations and phases", structure.error());
    return insight;
  }
  insight.structure = std::move(*structure);
  insight.iterations = iteration_lane(insight.structure, &insight.texts);
  insight.phases = phase_lane(insight.structure, &insight.texts);
  for (const Track& track : document.tracks) {
    if (stopped()) return insight;
    if (!of_device(track.curve.series)) continue;
    auto blocks = analyzer::categorize(reader, insight.structure, track.curve.series);
    if (!blocks) {
      note("categories", blocks.error());
      continue;
    }
    if (auto curves = category_curves(reader, *blocks)) {
      insight.categories.push_back(std::move(*curves));
    } else {
      note("usage by category", curves.error());
    }
    if (auto split = split_by_layer(reader, *blocks, track.curve.peak_ns)) {
      insight.layers.push_back(std::move(*split));
    } else {
      note("usage by layer", split.error());
    }
    insight.blocks.push_back(std::move(*blocks));
  }
  if (stopped()) return insight;
  if (auto uses = analyzer::UseIndex::build(reader)) {
    insight.uses = std::move(*uses);
  } else {
    note("uses of blocks", uses.error());
  }
  if (stopped()) return insight;
  std::vector<analyzer::UsageCurve> curves;
  for (const Track& track : document.tracks) {
    if (of_device(track.curve.series)) curves.push_back(track.curve);
  }
  if (auto found = analyzer::find_waste(reader, insight.structure, curves)) {
    insight.findings = std::move(*found);
  } else {
    note("findings", found.error());
  }
  return insight;
}

}  // namespace tidemark::viewer
