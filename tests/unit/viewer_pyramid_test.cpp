#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tidemark/viewer/pyramid.h"

namespace tidemark::viewer {
namespace {

using analyzer::UsagePoint;

std::vector<UsagePoint> random_points(std::mt19937_64* random, size_t count, int64_t gap) {
  std::vector<UsagePoint> points;
  int64_t time = static_cast<int64_t>((*random)() % 50);
  for (size_t i = 0; i < count; ++i) {
    points.push_back({time, static_cast<int64_t>((*random)() % 1'000'000)});
    time += 1 + static_cast<int64_t>((*random)() % static_cast<uint64_t>(gap));
  }
  return points;
}

int64_t brute_value(const std::vector<UsagePoint>& points, int64_t time) {
  int64_t value = 0;
  for (const UsagePoint& point : points) {
    if (point.time_ns <= time) value = point.bytes;
  }
  return value;
}

Extremes brute(const std::vector<UsagePoint>& points, int64_t begin, int64_t end) {
  const int64_t carried = brute_value(points, begin);
  Extremes extremes{carried, carried};
  for (const UsagePoint& point : points) {
    if (point.time_ns < begin || point.time_ns >= end) continue;
    extremes.min = std::min(extremes.min, point.bytes);
    extremes.max = std::max(extremes.max, point.bytes);
  }
  return extremes;
}

TEST(viewer_pyramid, any_span_has_the_extremes_of_all_its_points_and_what_came_in_from_the_left) {
  std::mt19937_64 random(7);
  for (const size_t count : {0, 1, 2, 15, 16, 17, 255, 256, 257, 4096, 5000}) {
    const auto points = random_points(&random, count, 20);
    const PeakPyramid pyramid(points);
    const int64_t end = points.empty() ? 100 : points.back().time_ns + 40;
    for (int i = 0; i < 300; ++i) {
      const int64_t a = static_cast<int64_t>(random() % static_cast<uint64_t>(end)) - 10;
      const int64_t b = static_cast<int64_t>(random() % static_cast<uint64_t>(end)) - 10;
      const int64_t from = std::min(a, b);
      const int64_t to = std::max(a, b);
      ASSERT_EQ(pyramid.over(from, to), brute(points, from, to))
          << count << " " << from << " " << to;
    }
  }
}

TEST(viewer_pyramid, every_pixel_column_at_any_zoom_is_the_exact_maximum_of_its_span) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 120; ++round) {
    const auto points =
        random_points(&random, 1 + random() % 700, 1 + static_cast<int64_t>(random() % 90));
    const PeakPyramid pyramid(points);
    TimeAxis axis(0, points.back().time_ns + 1);
    axis.set_width(1.0 + static_cast<double>(random() % 400));
    for (uint64_t i = random() % 4; i > 0; --i) {
      axis.zoom_about(static_cast<double>(random() % 400),
                      0.5 + static_cast<double>(random() % 100) / 5);
      axis.pan_by(static_cast<double>(random() % 400) - 200.0);
    }
    std::vector<Column> columns;
    pyramid.columns(axis, &columns);
    ASSERT_EQ(columns.size(), static_cast<size_t>(axis.columns()));
    for (int c = 0; c < axis.columns(); ++c) {
      const int64_t begin = axis.column_begin_ns(c);
      const int64_t end = axis.column_begin_ns(c + 1);
      const Column& column = columns[static_cast<size_t>(c)];
      ASSERT_EQ(column.extremes, brute(points, begin, end)) << "round " << round << " column " << c;
      ASSERT_EQ(column.last, brute_value(points, std::max(begin, end - 1)));
    }
  }
}

TEST(viewer_pyramid, a_spike_of_one_nanosecond_in_an_hour_is_seen_and_found) {
  std::vector<UsagePoint> points;
  for (int64_t i = 0; i < 100'000; ++i) points.push_back({i * 36'000'000, i % 2 == 0 ? 100 : 120});
  const int64_t spike = 1'234'567'890'123;
  const auto at = std::lower_bound(points.begin(), points.end(), spike,
                                   [](const UsagePoint& p, int64_t t) { return p.time_ns < t; });
  points.insert(at, {{spike, 9'000}, {spike + 1, 100}});
  const PeakPyramid pyramid(points);
  TimeAxis axis(0, 3'600'000'000'000);
  axis.set_width(1000);
  std::vector<Column> columns;
  pyramid.columns(axis, &columns);
  const auto column = static_cast<int>(axis.to_pixel(static_cast<double>(spike)));
  EXPECT_EQ(columns[static_cast<size_t>(column)].extremes.max, 9'000);
  EXPECT_EQ(columns[static_cast<size_t>(column) + 1].extremes.max, 120);
  EXPECT_EQ(pyramid.peak_moment(axis.column_begin_ns(column), axis.column_begin_ns(column + 1)),
            spike);
}

TEST(viewer_pyramid, a_peak_that_came_in_from_the_left_holds_from_the_begin_of_the_span) {
  const std::vector<UsagePoint> points = {{10, 500}, {100, 20}, {120, 400}};
  const PeakPyramid pyramid(points);
  EXPECT_EQ(pyramid.peak_moment(50, 200), 50);
  EXPECT_EQ(pyramid.peak_moment(100, 200), 120);
  EXPECT_EQ(pyramid.peak_moment(0, 200), 10);
}

TEST(viewer_pyramid, steps_to_neighbouring_changes_and_stays_at_the_ends) {
  const std::vector<UsagePoint> points = {{10, 5}, {20, 6}, {30, 0}};
  const PeakPyramid pyramid(points);
  EXPECT_EQ(pyramid.next_change(10), 20);
  EXPECT_EQ(pyramid.next_change(11), 20);
  EXPECT_EQ(pyramid.next_change(30), 30);
  EXPECT_EQ(pyramid.previous_change(30), 20);
  EXPECT_EQ(pyramid.previous_change(10), 10);
  EXPECT_EQ(pyramid.value_at(9), 0);
  EXPECT_EQ(pyramid.value_at(10), 5);
  EXPECT_EQ(pyramid.value_at(INT64_MAX), 0);
}

}  // namespace
}  // namespace tidemark::viewer
