#include "tidemark/viewer/stacked.h"

#include <algorithm>

namespace tidemark::viewer {
namespace {

using analyzer::UsagePoint;

// Values of one curve at moments that mostly ascend: the last place is where the next is looked for
// first.
class Follower {
 public:
  explicit Follower(const std::vector<UsagePoint>& points) : points_(points) {}

  int64_t at(int64_t time_ns) {
    const auto later = [](int64_t time, const UsagePoint& point) { return time < point.time_ns; };
    const auto size = static_cast<std::ptrdiff_t>(points_.size());
    if (next_ > 0 && points_[static_cast<size_t>(next_) - 1].time_ns > time_ns) next_ = 0;
    std::ptrdiff_t step = 1;
    std::ptrdiff_t low = next_;
    std::ptrdiff_t high = next_;
    while (high < size && points_[static_cast<size_t>(high)].time_ns <= time_ns) {
      low = high + 1;
      high += step;
      step *= 2;
    }
    high = std::min(high, size);
    next_ = std::upper_bound(points_.begin() + low, points_.begin() + high, time_ns, later) -
            points_.begin();
    return next_ == 0 ? 0 : points_[static_cast<size_t>(next_) - 1].bytes;
  }

 private:
  const std::vector<UsagePoint>& points_;
  std::ptrdiff_t next_ = 0;  // the first point later than the last moment
};

}  // namespace

void stacked_columns(const PeakPyramid& usage, const Curves& parts, const TimeAxis& axis,
                     std::vector<StackedColumn>* out) {
  const int count = axis.columns();
  out->resize(static_cast<size_t>(count));
  std::vector<Follower> followers;
  for (const auto* points : parts) followers.emplace_back(*points);
  int64_t seen_ns = INT64_MIN;
  for (int c = 0; c < count; ++c) {
    const int64_t begin = axis.column_begin_ns(c);
    const int64_t moment = usage.peak_moment(begin, axis.column_begin_ns(c + 1));
    StackedColumn& column = (*out)[static_cast<size_t>(c)];
    // Nothing has changed since the column before.
    if (c > 0 && seen_ns <= moment && usage.previous_change(moment + 1) <= seen_ns) {
      column = (*out)[static_cast<size_t>(c) - 1];
      continue;
    }
    column = {};
    int64_t sum = 0;
    for (size_t k = 0; k < followers.size(); ++k) {
      sum += followers[k].at(moment);
      column.at(k) = sum;
    }
    seen_ns = moment;
  }
}

}  // namespace tidemark::viewer
