#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tidemark/viewer/palette.h"
#include "tidemark/viewer/time_axis.h"
#include "tidemark/viewer/value_axis.h"

namespace tidemark::viewer {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TimeAxis axis_of(int64_t end_ns, double width) {
  TimeAxis axis(0, end_ns);
  axis.set_width(width);
  return axis;
}

std::vector<std::string> labels(const TimeAxis& axis) {
  std::vector<std::string> texts;
  for (const TimeTick& tick : axis.ticks(7.0)) texts.push_back(tick.label);
  return texts;
}

TEST(viewer_time_axis, zoom_keeps_the_moment_under_the_mouse) {
  TimeAxis axis = axis_of(100 * kSecond, 1000);
  const double before = axis.to_ns(300);
  axis.zoom_about(300, 8.0);
  EXPECT_NEAR(axis.to_ns(300), before, 1.0);
  EXPECT_DOUBLE_EQ(axis.span_ns(), 12.5e9);
}

TEST(viewer_time_axis, drag_moves_the_picture_with_the_mouse) {
  TimeAxis axis = axis_of(100 * kSecond, 1000);
  axis.frame(40 * kSecond, 60 * kSecond);
  axis.pan_by(100);
  EXPECT_DOUBLE_EQ(axis.begin_ns(), 38e9);
  EXPECT_DOUBLE_EQ(axis.end_ns(), 58e9);
}

TEST(viewer_time_axis, no_zoom_or_pan_leaves_the_recording) {
  std::mt19937 random(3);
  TimeAxis axis(5 * kSecond, 90 * kSecond);
  axis.set_width(777);
  for (int i = 0; i < 5000; ++i) {
    axis.zoom_about(static_cast<double>(random() % 777),
                    0.2 + static_cast<double>(random() % 60) / 10);
    axis.pan_by(static_cast<double>(random() % 4000) - 2000.0);
    ASSERT_GE(axis.begin_ns(), 5e9);
    ASSERT_LE(axis.end_ns(), 90e9 + 1);
    ASSERT_GE(axis.span_ns(), TimeAxis::kMinSpanNs);
  }
  axis.zoom_about(10, 0.0);  // nonsense changes nothing
  axis.zoom_about(10, std::numeric_limits<double>::infinity());
  axis.frame_all();
  EXPECT_TRUE(axis.shows_all());
  EXPECT_DOUBLE_EQ(axis.begin_ns(), 5e9);
}

TEST(viewer_time_axis, columns_are_without_gap_or_overlap) {
  TimeAxis axis = axis_of(1003, 400);
  EXPECT_EQ(axis.column_begin_ns(0), 0);
  EXPECT_EQ(axis.column_begin_ns(400), 1003);
  for (int c = 0; c < 400; ++c) ASSERT_LE(axis.column_begin_ns(c), axis.column_begin_ns(c + 1));
}

TEST(viewer_time_axis, an_empty_recording_and_a_window_of_nothing_are_fine) {
  TimeAxis axis(0, 0);
  axis.set_width(0);
  EXPECT_EQ(axis.columns(), 1);
  axis.zoom_about(0, 100);
  EXPECT_GT(axis.span_ns(), 0);
  EXPECT_LE(axis.ticks(7.0).size(), 2U);
}

TEST(viewer_time_axis, ticks_are_round_in_the_units_people_count_in) {
  EXPECT_EQ(labels(axis_of(1000, 900)),
            (std::vector<std::string>{"0", "0.1 \u00b5s", "0.2 \u00b5s", "0.3 \u00b5s",
                                      "0.4 \u00b5s", "0.5 \u00b5s", "0.6 \u00b5s", "0.7 \u00b5s",
                                      "0.8 \u00b5s", "0.9 \u00b5s", "1.0 \u00b5s"}));
  EXPECT_EQ(labels(axis_of(4 * kSecond, 500)),
            (std::vector<std::string>{"0", "1 s", "2 s", "3 s", "4 s"}));
  EXPECT_EQ(labels(axis_of(200 * kSecond, 500)),
            (std::vector<std::string>{"0", "0:30", "1:00", "1:30", "2:00", "2:30", "3:00"}));
  EXPECT_EQ(labels(axis_of(3 * 3600 * kSecond, 500)),
            (std::vector<std::string>{"0", "0:30:00", "1:00:00", "1:30:00", "2:00:00", "2:30:00",
                                      "3:00:00"}));
}

TEST(viewer_time_axis, deep_in_a_long_recording_labels_still_tell_neighbours_apart) {
  TimeAxis axis = axis_of(3000 * kSecond, 1200);
  axis.frame(2000 * kSecond + 123'456'000, 2000 * kSecond + 123'457'000);
  const auto texts = labels(axis);
  ASSERT_GE(texts.size(), 2U);
  EXPECT_EQ(std::set<std::string>(texts.begin(), texts.end()).size(), texts.size());
  EXPECT_TRUE(texts.front().starts_with("33:20.123456")) << texts.front();
}

TEST(viewer_time_axis, labels_never_touch_each_other) {
  for (int64_t end = 30; end < 100 * 24 * 3600 * kSecond; end = end * 3 / 2) {
    const TimeAxis axis = axis_of(end, 640);
    const auto ticks = axis.ticks(7.0);
    for (size_t i = 1; i < ticks.size(); ++i) {
      const double apart = axis.to_pixel(static_cast<double>(ticks[i].time_ns)) -
                           axis.to_pixel(static_cast<double>(ticks[i - 1].time_ns));
      ASSERT_GE(apart, static_cast<double>(ticks[i].label.size()) * 7.0) << end;
    }
  }
}

TEST(viewer_time_axis, what_is_revealed_is_inside) {
  TimeAxis axis = axis_of(100 * kSecond, 1000);
  axis.frame(40 * kSecond, 50 * kSecond);
  axis.reveal(45 * kSecond);
  EXPECT_DOUBLE_EQ(axis.begin_ns(), 40e9);
  axis.reveal(80 * kSecond);
  EXPECT_LT(axis.begin_ns(), 80e9);
  EXPECT_GT(axis.end_ns(), 80e9);
}

TEST(viewer_value_axis, ticks_are_powers_of_two_and_leave_room_for_labels) {
  const int64_t gib = int64_t{1} << 30;
  const ValueAxis axis(9 * gib, 0.0);
  EXPECT_EQ(axis.ticks(100, 24), (std::vector<int64_t>{4 * gib, 8 * gib}));
  EXPECT_DOUBLE_EQ(axis.to_pixel(0, 100), 100);
  EXPECT_DOUBLE_EQ(axis.to_pixel(static_cast<double>(9 * gib), 100), 0);
  EXPECT_DOUBLE_EQ(axis.to_bytes(100, 100), 0);
  EXPECT_TRUE(axis.ticks(5, 24).empty());
  EXPECT_FALSE(ValueAxis(INT64_MAX).ticks(100, 10).empty());
}

TEST(viewer_palette, every_series_stands_out_from_its_background_and_from_each_other) {
  using trace::Layer;
  using trace::Space;
  const std::vector<analyzer::Series> all = {
      {Layer::kPool, Space::kDevice, 0},     {Layer::kDriver, Space::kDevice, 0},
      {Layer::kDriver, Space::kManaged, -1}, {Layer::kDriver, Space::kPinned, -1},
      {Layer::kHeap, Space::kHost, -1},      {Layer::kOs, Space::kHost, -1}};
  for (const Theme theme : {Theme::kDark, Theme::kLight}) {
    EXPECT_GE(contrast(palette(theme).text, palette(theme).panel), 7.0);
    EXPECT_GE(contrast(palette(theme).text_dim, palette(theme).panel), 4.5);
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_GE(contrast(series_colour(all[i], theme), palette(theme).plot), 3.0) << i;
      for (size_t j = 0; j < i; ++j)
        EXPECT_NE(series_colour(all[i], theme), series_colour(all[j], theme));
    }
    for (const auto severity :
         {trace::Severity::kInfo, trace::Severity::kDataLoss, trace::Severity::kError}) {
      EXPECT_GE(contrast(severity_colour(severity, theme), palette(theme).panel), 3.0);
    }
  }
}

}  // namespace
}  // namespace tidemark::viewer
