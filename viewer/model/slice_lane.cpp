#include "tidemark/viewer/slice_lane.h"

#include <algorithm>
#include <utility>

namespace tidemark::viewer {
namespace {

constexpr double kWidePixels = 3.0;  // seen as a slice of its own
constexpr double kFoldPixels = 2.0;  // width of a cell of folded ones

bool outer_first(const Slice& a, const Slice& b) {
  return a.begin_ns != b.begin_ns ? a.begin_ns < b.begin_ns : a.end_ns > b.end_ns;
}

}  // namespace

SliceLane::SliceLane(std::vector<Slice> slices) : slices_(std::move(slices)) {
  for (Slice& slice : slices_) slice.end_ns = std::max(slice.end_ns, slice.begin_ns);
  std::sort(slices_.begin(), slices_.end(), outer_first);
  busy_.reserve(slices_.size() + 1);
  busy_.push_back(0);
  std::vector<uint64_t> durations;
  durations.reserve(slices_.size());
  int64_t reached = INT64_MIN;  // time that two take at once counts once
  for (const Slice& slice : slices_) {
    const int64_t from = std::max(slice.begin_ns, reached);
    busy_.push_back(busy_.back() + std::max<int64_t>(slice.end_ns - from, 0));
    reached = std::max(reached, slice.end_ns);
    durations.push_back(static_cast<uint64_t>(slice.end_ns - slice.begin_ns));
  }
  durations_ = MaxTree(std::move(durations));
}

size_t SliceLane::first_from(int64_t time_ns) const {
  return static_cast<size_t>(
      std::lower_bound(slices_.begin(), slices_.end(), time_ns,
                       [](const Slice& slice, int64_t time) { return slice.begin_ns < time; }) -
      slices_.begin());
}

void SliceLane::cells(const TimeAxis& axis, std::vector<SliceCell>* out) const {
  out->clear();
  size_t i = first_from(static_cast<int64_t>(axis.begin_ns()));
  // What began earlier may reach into the picture.
  while (i > 0 && static_cast<double>(slices_[i - 1].end_ns) > axis.begin_ns()) --i;
  const auto pixel = [&](int64_t time_ns) { return axis.to_pixel(static_cast<double>(time_ns)); };
  const auto width = [&](const Slice& slice) {
    return pixel(slice.end_ns) - pixel(slice.begin_ns);
  };
  while (i < slices_.size()) {
    const Slice& slice = slices_[i];
    const double x = pixel(slice.begin_ns);
    if (x >= axis.width()) break;
    if (width(slice) >= kWidePixels) {
      out->push_back({x, pixel(slice.end_ns), i, 1, 1.0});
      ++i;
      continue;
    }
    const double edge = std::max(x, 0.0) + kFoldPixels;
    size_t end = std::max(first_from(static_cast<int64_t>(axis.to_ns(edge))), i + 1);
    // One of them alone may be wide; all before it are narrow.
    const size_t longest = durations_.largest(i, end);
    if (width(slices_[longest]) >= kWidePixels) end = longest;
    const double span = kFoldPixels / axis.width() * axis.span_ns();
    out->push_back({std::max(x, 0.0), edge, durations_.largest(i, end), end - i,
                    std::clamp(static_cast<double>(busy_ns(i, end)) / span, 0.0, 1.0)});
    i = end;
  }
}

size_t SliceLane::at(int64_t time_ns, int64_t slack_ns) const {
  if (slices_.empty()) return npos;
  const int64_t next_ns = time_ns > INT64_MAX - slack_ns - 1 ? INT64_MAX : time_ns + slack_ns + 1;
  size_t best = npos;
  for (size_t i = first_from(next_ns), looked = 0; i-- > 0 && looked < 64; ++looked) {
    const Slice& slice = slices_[i];
    if (slice.begin_ns <= time_ns && slice.end_ns > time_ns) return i;
    if (slack_ns > 0 && slice.end_ns > time_ns - slack_ns && best == npos) best = i;
  }
  return best;
}

size_t SliceLane::next(int64_t time_ns) const {
  const size_t i = time_ns == INT64_MAX ? slices_.size() : first_from(time_ns + 1);
  return i < slices_.size() ? i : npos;
}

size_t SliceLane::previous(int64_t time_ns) const {
  const size_t i = first_from(time_ns);
  return i > 0 ? i - 1 : npos;
}

std::vector<SliceLane> nest(std::vector<Slice> slices, size_t most_lanes) {
  std::sort(slices.begin(), slices.end(), outer_first);
  std::vector<std::vector<Slice>> lanes;
  std::vector<int64_t> open;  // ends of those around, outermost first
  for (const Slice& slice : slices) {
    while (!open.empty() && open.back() <= slice.begin_ns) open.pop_back();
    const size_t depth = std::min(open.size(), most_lanes - 1);
    if (depth >= lanes.size()) lanes.resize(depth + 1);
    lanes[depth].push_back(slice);
    open.push_back(slice.end_ns);
  }
  std::vector<SliceLane> result;
  result.reserve(lanes.size());
  for (auto& lane : lanes) result.emplace_back(std::move(lane));
  return result;
}

}  // namespace tidemark::viewer
