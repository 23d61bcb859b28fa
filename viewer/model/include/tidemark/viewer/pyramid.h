// Exact extremes of a step curve over any span of time, however many points lie in it, so that a
// spike of one nanosecond is still seen when an hour is one screen wide.
//
//   level 1   [  min max of 16 points  ][  min max of 16 points  ] …
//   level 2   [              min max of 16 entries of level 1             ] …
//
// A query touches at most 2·16 entries a level. Building is one pass; 7 % of the points' memory.
// Immutable after building: any number of threads may ask.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tidemark/analyzer/usage.h"
#include "tidemark/viewer/time_axis.h"

namespace tidemark::viewer {

struct Extremes {
  int64_t min = 0;
  int64_t max = 0;
  bool operator==(const Extremes&) const = default;
};

// What one pixel column shows: the extremes of its span and the value at its end.
struct Column {
  Extremes extremes;
  int64_t last = 0;
  bool operator==(const Column&) const = default;
};

class PeakPyramid {
 public:
  PeakPyramid() = default;
  // The points must outlive the pyramid and stay where they are (moving their vector is fine).
  explicit PeakPyramid(std::span<const analyzer::UsagePoint> points);

  // Over [begin_ns, end_ns), with the value that was already there at begin_ns. An empty span is
  // that value alone. Before the first point the value is 0.
  Extremes over(int64_t begin_ns, int64_t end_ns) const;
  int64_t value_at(int64_t time_ns) const;
  // The first moment in [begin_ns, end_ns) at which the span's maximum holds.
  int64_t peak_moment(int64_t begin_ns, int64_t end_ns) const;
  // The nearest change strictly before or after; `time_ns` itself when there is none.
  int64_t previous_change(int64_t time_ns) const;
  int64_t next_change(int64_t time_ns) const;

  // One entry per column of `axis`.
  void columns(const TimeAxis& axis, std::vector<Column>* out) const;

 private:
  void extend(size_t first, size_t last, Extremes* extremes) const;

  std::span<const analyzer::UsagePoint> points_;
  std::vector<std::vector<Extremes>> levels_;
};

}  // namespace tidemark::viewer
