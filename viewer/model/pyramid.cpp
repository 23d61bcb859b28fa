#include "tidemark/viewer/pyramid.h"

#include <algorithm>

namespace tidemark::viewer {
namespace {

using analyzer::UsagePoint;

constexpr size_t kFan = 16;

Extremes of(const UsagePoint& point) { return {point.bytes, point.bytes}; }
Extremes of(const Extremes& entry) { return entry; }

void widen(Extremes* wide, const Extremes& other) {
  wide->min = std::min(wide->min, other.min);
  wide->max = std::max(wide->max, other.max);
}

template <class Entry>
std::vector<Extremes> summarize(std::span<const Entry> entries) {
  std::vector<Extremes> level;
  level.reserve((entries.size() + kFan - 1) / kFan);
  for (size_t i = 0; i < entries.size(); i += kFan) {
    Extremes sum = of(entries[i]);
    for (const Entry& entry : entries.subspan(i, std::min(kFan, entries.size() - i))) {
      widen(&sum, of(entry));
    }
    level.push_back(sum);
  }
  return level;
}

// Takes the ragged ends of [*first, *last) and leaves whole groups of kFan, as indices of the next
// level. True when nothing is left.
template <class Entry>
bool take_ends(std::span<const Entry> entries, size_t* first, size_t* last, Extremes* extremes) {
  while (*first < *last && *first % kFan != 0) widen(extremes, of(entries[(*first)++]));
  while (*first < *last && *last % kFan != 0) widen(extremes, of(entries[--*last]));
  *first /= kFan;
  *last /= kFan;
  return *first >= *last;
}

bool earlier(const UsagePoint& point, int64_t time_ns) { return point.time_ns < time_ns; }

size_t lower_index(std::span<const UsagePoint> points, int64_t time_ns) {
  return static_cast<size_t>(std::lower_bound(points.begin(), points.end(), time_ns, earlier) -
                             points.begin());
}

// lower_index, for a time whose index is at or a little after `from`.
size_t gallop(std::span<const UsagePoint> points, size_t from, int64_t time_ns) {
  size_t step = 1;
  size_t low = from;
  size_t high = from;
  while (high < points.size() && points[high].time_ns < time_ns) {
    low = high + 1;
    high += step;
    step *= 2;
  }
  high = std::min(high, points.size());
  return low + lower_index(points.subspan(low, high - low), time_ns);
}

}  // namespace

PeakPyramid::PeakPyramid(std::span<const UsagePoint> points) : points_(points) {
  if (points.size() <= kFan) return;
  levels_.push_back(summarize(points));
  while (levels_.back().size() > kFan) {
    levels_.push_back(summarize(std::span<const Extremes>(levels_.back())));
  }
}

void PeakPyramid::extend(size_t first, size_t last, Extremes* extremes) const {
  // Without a level above, the ends are all there is.
  if (levels_.empty()) {
    for (; first < last; ++first) widen(extremes, of(points_[first]));
    return;
  }
  if (take_ends(points_, &first, &last, extremes)) return;
  for (size_t level = 0; level < levels_.size(); ++level) {
    const std::span<const Extremes> entries = levels_[level];
    if (level + 1 == levels_.size()) {
      for (; first < last; ++first) widen(extremes, entries[first]);
    } else if (take_ends(entries, &first, &last, extremes)) {
      return;
    }
  }
}

int64_t PeakPyramid::value_at(int64_t time_ns) const {
  const size_t next = time_ns == INT64_MAX ? points_.size() : lower_index(points_, time_ns + 1);
  return next == 0 ? 0 : points_[next - 1].bytes;
}

Extremes PeakPyramid::over(int64_t begin_ns, int64_t end_ns) const {
  const int64_t carried = value_at(begin_ns);
  Extremes extremes{carried, carried};
  if (end_ns <= begin_ns) return extremes;
  extend(lower_index(points_, begin_ns + 1), lower_index(points_, end_ns), &extremes);
  return extremes;
}

int64_t PeakPyramid::peak_moment(int64_t begin_ns, int64_t end_ns) const {
  const int64_t peak = over(begin_ns, end_ns).max;
  if (value_at(begin_ns) == peak || end_ns <= begin_ns) return begin_ns;
  size_t index = lower_index(points_, begin_ns + 1);
  while (points_[index].bytes != peak) {  // `over` saw it, so it is there
    ++index;
    // Groups that do not reach it are passed over, the widest that begins here first.
    size_t group = index;
    size_t level = 0;
    size_t width = 1;
    while (level < levels_.size() && group % kFan == 0 && group / kFan < levels_[level].size() &&
           levels_[level][group / kFan].max < peak) {
      group /= kFan;
      ++level;
      width *= kFan;
    }
    if (level > 0) index = (group + 1) * width;
  }
  return points_[index].time_ns;
}

int64_t PeakPyramid::previous_change(int64_t time_ns) const {
  const size_t index = lower_index(points_, time_ns);
  return index == 0 ? time_ns : points_[index - 1].time_ns;
}

int64_t PeakPyramid::next_change(int64_t time_ns) const {
  const size_t index = time_ns == INT64_MAX ? points_.size() : lower_index(points_, time_ns + 1);
  return index == points_.size() ? time_ns : points_[index].time_ns;
}

void PeakPyramid::columns(const TimeAxis& axis, std::vector<Column>* out) const {
  const int count = axis.columns();
  out->resize(static_cast<size_t>(count));
  int64_t begin = axis.column_begin_ns(0);
  size_t next = lower_index(points_, begin);  // first point at or after the column's begin
  for (int c = 0; c < count; ++c) {
    const int64_t end = axis.column_begin_ns(c + 1);
    if (next < points_.size() && points_[next].time_ns == begin) ++next;
    const int64_t carried = next == 0 ? 0 : points_[next - 1].bytes;
    Column column{{carried, carried}, carried};
    if (end > begin) {
      const size_t stop = gallop(points_, next, end);
      if (stop > next) {
        extend(next, stop, &column.extremes);
        column.last = points_[stop - 1].bytes;
        next = stop;
      }
    }
    (*out)[static_cast<size_t>(c)] = column;
    begin = end;
  }
}

}  // namespace tidemark::viewer
