#include "tidemark/viewer/layer_split.h"

#include <algorithm>
#include <map>

#include "step_sums.h"
#include "tidemark/analyzer/text.h"

namespace tidemark::viewer {
namespace {

using analyzer::ModelLayer;

// Bytes that a layer and all within it held at the peak.
Result<std::vector<uint64_t>> held_at(const trace::Reader& reader,
                                      const analyzer::SeriesBlocks& blocks, int64_t peak_ns) {
  std::vector<uint64_t> held(blocks.layers.size(), 0);
  const LifetimeEnds ends(reader);
  trace::AllocationFilter filter = filter_for(blocks.series);
  filter.begin_ns = peak_ns;
  filter.end_ns = peak_ns < trace::kNever ? peak_ns + 1 : peak_ns;
  const auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (row.alloc_ns > peak_ns || ends.end_ns(row) <= peak_ns) continue;
      const analyzer::CategoryBlock* block = blocks.find(row.id);
      if (block == nullptr) continue;
      for (int32_t at = block->place.layer; at >= 0;
           at = blocks.layers[static_cast<size_t>(at)].parent) {
        held[static_cast<size_t>(at)] += row.size;
      }
    }
  });
  if (!read) return tl::unexpected(read.error());
  return held;
}

std::vector<int32_t> children_of(const std::vector<ModelLayer>& layers, int32_t parent) {
  std::vector<int32_t> children;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].parent == parent) children.push_back(static_cast<int32_t>(i));
  }
  return children;
}

// Down from the model as long as nearly all lies in one that has more than one below it.
std::vector<int32_t> branches(const std::vector<ModelLayer>& layers,
                              const std::vector<uint64_t>& held) {
  constexpr uint64_t kTenth = 10;
  std::vector<int32_t> level = children_of(layers, -1);
  while (!level.empty()) {
    const auto bytes = [&](int32_t layer) { return held[static_cast<size_t>(layer)]; };
    uint64_t all = 0;
    for (const int32_t layer : level) all += bytes(layer);
    const int32_t heaviest = *std::max_element(
        level.begin(), level.end(), [&](int32_t a, int32_t b) { return bytes(a) < bytes(b); });
    std::vector<int32_t> below = children_of(layers, heaviest);
    if (below.empty() || bytes(heaviest) < all - all / kTenth) return level;
    level = std::move(below);
  }
  return level;
}

}  // namespace

std::vector<analyzer::UsagePoint> sum_up(std::vector<Change> changes) {
  // What ends counts before what begins, as in the usage curve.
  std::sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) {
    return a.time_ns != b.time_ns ? a.time_ns < b.time_ns : a.bytes < b.bytes;
  });
  std::vector<analyzer::UsagePoint> points;
  int64_t sum = 0;
  for (const Change& change : changes) {
    sum += change.bytes;
    if (!points.empty() && points.back().time_ns == change.time_ns) {
      points.back().bytes = sum;
    } else {
      points.push_back({change.time_ns, sum});
    }
  }
  return points;
}

Result<LayerSplit> split_by_layer(const trace::Reader& reader, const analyzer::SeriesBlocks& blocks,
                                  int64_t peak_ns) {
  LayerSplit split;
  split.series = blocks.series;
  const std::vector<ModelLayer>& layers = blocks.layers;
  if (layers.empty()) return split;
  const auto held = held_at(reader, blocks, peak_ns);
  if (!held) return tl::unexpected(held.error());
  std::vector<int32_t> chosen = branches(layers, *held);
  std::stable_sort(chosen.begin(), chosen.end(), [&](int32_t a, int32_t b) {
    return (*held)[static_cast<size_t>(a)] > (*held)[static_cast<size_t>(b)];
  });
  if (chosen.size() > LayerSplit::kMostLayers) chosen.resize(LayerSplit::kMostLayers);
  std::sort(chosen.begin(), chosen.end());  // numbers are in order of the first call
  std::map<int32_t, size_t> part_of;
  for (const int32_t layer : chosen) {
    part_of.emplace(layer, split.parts.size());
    split.parts.push_back(
        {analyzer::printable(layers[static_cast<size_t>(layer)].name), {}, false});
  }
  const size_t others = split.parts.size();
  split.parts.push_back({"other layers", {}, true});
  split.of_none = split.parts.size();
  split.parts.push_back({"no layer", {}, true});
  for (size_t i = 0; i < layers.size(); ++i) {
    size_t part = others;
    for (auto at = static_cast<int32_t>(i); at >= 0; at = layers[static_cast<size_t>(at)].parent) {
      const auto found = part_of.find(at);
      if (found == part_of.end()) continue;
      part = found->second;
      break;
    }
    split.of_layer.push_back(part);
  }
  std::vector<std::vector<Change>> changes(split.parts.size());
  const auto read = part_changes(
      reader, blocks.series, [&](trace::AllocationId id) { return split.part_of(blocks.find(id)); },
      &changes);
  if (!read) return tl::unexpected(read.error());
  for (size_t i = 0; i < changes.size(); ++i) split.parts[i].points = sum_up(std::move(changes[i]));
  return split;
}

}  // namespace tidemark::viewer
