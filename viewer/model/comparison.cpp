#include "tidemark/viewer/comparison.h"

#include <algorithm>
#include <utility>

namespace tidemark::viewer {
namespace {

int64_t first_ns(const Track* track) {
  return track == nullptr || track->curve.points.empty() ? 0 : track->curve.points.front().time_ns;
}

}  // namespace

const Track* Comparison::find(const analyzer::Series& wanted) const {
  return document->find(wanted);
}

Comparison compare(const Document& document, std::shared_ptr<const Document> other) {
  Comparison result;
  result.document = std::move(other);
  result.path = result.document->summary.path;
  bool shifted = false;
  for (const Track& track : document.tracks) {
    const Track* twin = result.find(track.curve.series);
    if (twin != nullptr && !shifted) {
      result.shift_ns = first_ns(&track) - first_ns(twin);
      shifted = true;
    }
    result.series.push_back({track.curve.series, track.name, track.curve.peak_bytes,
                             twin == nullptr ? 0 : twin->curve.peak_bytes});
  }
  for (const Track& track : result.document->tracks) {
    if (document.find(track.curve.series) != nullptr) continue;
    result.series.push_back({track.curve.series, track.name, 0, track.curve.peak_bytes});
  }
  return result;
}

}  // namespace tidemark::viewer
