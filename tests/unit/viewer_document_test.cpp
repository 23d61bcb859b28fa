#include <gtest/gtest.h>

#include <algorithm>

#include "tidemark/viewer/activity.h"
#include "tidemark/viewer/view_state.h"
#include "viewer_fixtures.h"

namespace tidemark::viewer {
namespace {

using testing::kTrainer;
using testing::MemoryReader;
using testing::MemoryTrace;
using trace::Layer;
using trace::Space;

Document load(MemoryTrace trace) {
  const MemoryReader reader(std::make_shared<const MemoryTrace>(std::move(trace)));
  auto document = load_document(reader);
  EXPECT_TRUE(document.has_value());
  return std::move(*document);
}

TEST(viewer_document, tracks_come_most_telling_first_and_the_cursor_starts_at_the_first_ones_peak) {
  const Document document = load(testing::training_trace());
  std::vector<std::string> names;
  for (const Track& track : document.tracks) names.push_back(track.name);
  EXPECT_EQ(names, (std::vector<std::string>{"pool device:0", "driver device:0", "driver managed",
                                             "driver pinned", "heap host", "os host"}));
  const ViewState state(document);
  EXPECT_EQ(state.selected, document.tracks[0].curve.series);
  EXPECT_EQ(state.cursor_ns, document.tracks[0].curve.peak_ns);
  EXPECT_TRUE(state.axis.shows_all());
}

TEST(viewer_document, the_view_begins_where_something_happens_unless_more_is_still_to_come) {
  MemoryTrace trace = testing::training_trace();
  trace.end_ns *= 20;
  EXPECT_FALSE(ViewState(load(trace)).axis.shows_all());
  trace.finished = false;
  EXPECT_TRUE(ViewState(load(trace)).axis.shows_all());
}

TEST(viewer_document, pyramids_survive_the_moves_into_the_document) {
  const Document document = load(testing::training_trace());
  for (const Track& track : document.tracks) {
    EXPECT_EQ(track.pyramid.over(document.begin_ns, document.end_ns).max, track.curve.peak_bytes);
    EXPECT_EQ(track.pyramid.value_at(track.curve.peak_ns), track.curve.peak_bytes);
  }
  EXPECT_GT(document.tracks[0].reserved_peak_bytes, document.tracks[0].curve.peak_bytes);
}

TEST(viewer_document, an_empty_trace_has_no_tracks_and_a_state_that_works) {
  const Document document = load(MemoryTrace{});
  EXPECT_TRUE(document.tracks.empty());
  ViewState state(document);
  state.step_cursor(document, true);
  state.go_to_peak(document);
  EXPECT_EQ(state.cursor_ns, 0);
}

TEST(viewer_document, summary_counts_what_failed_and_puts_the_worst_loss_first) {
  MemoryTrace trace = testing::training_trace();
  trace.processes.push_back(trace.processes[0]);
  trace.processes.back().id = trace::ProcessId{2};
  trace.processes.back().exit = 139;
  trace.losses = {{"a", trace::Severity::kInfo, 1},
                  {"b", trace::Severity::kError, 2},
                  {"none", trace::Severity::kError, 0},
                  {"c", trace::Severity::kDataLoss, 3}};
  const Summary summary = load(trace).summary;
  EXPECT_EQ(summary.processes, 2U);
  EXPECT_EQ(summary.failed_processes, 1U);
  EXPECT_EQ(summary.allocations, trace.allocations.size());
  ASSERT_EQ(summary.losses.size(), 3U);
  EXPECT_EQ(summary.losses[0].name, "b");
  EXPECT_EQ(summary.losses[1].name, "c");
}

TEST(viewer_document, reserved_is_the_sum_over_processes_and_ends_with_each) {
  std::vector<trace::Process> processes(2);
  processes[0].id = trace::ProcessId{1};
  processes[0].end_ns = 50;
  processes[1].id = trace::ProcessId{2};
  const std::vector<trace::PoolReserved> samples = {{trace::ProcessId{1}, 0, 10, 100},
                                                    {trace::ProcessId{2}, 0, 20, 30},
                                                    {trace::ProcessId{2}, 1, 25, 999},
                                                    {trace::ProcessId{1}, 0, 30, 60}};
  const auto points = reserved_curve(samples, processes, 0);
  std::vector<std::pair<int64_t, int64_t>> seen;
  for (const auto& point : points) seen.emplace_back(point.time_ns, point.bytes);
  EXPECT_EQ(seen,
            (std::vector<std::pair<int64_t, int64_t>>{{10, 100}, {20, 130}, {30, 90}, {50, 30}}));
  EXPECT_TRUE(reserved_curve(samples, processes, 7).empty());
}

TEST(viewer_document, a_devices_power_is_a_track_in_watts) {
  MemoryTrace trace = testing::training_trace();
  const auto bus = trace.intern("0000:1b:00.0");
  trace.power = {{bus, 10, 70'000, 1}, {bus, 30, 412'300}, {bus, 20, 9'500}};
  const auto activity =
      load_activity(MemoryReader(std::make_shared<const MemoryTrace>(std::move(trace))));
  ASSERT_TRUE(activity.has_value());
  const auto track = std::ranges::find(activity->samples, "power 0000:1b:00.0", &SampleTrack::name);
  ASSERT_NE(track, activity->samples.end());
  EXPECT_EQ(track->peak, 412'300);
  EXPECT_EQ(track->pyramid.value_at(25), 9'500);
  EXPECT_EQ(format_sample(track->peak, track->unit), "412 W");
  EXPECT_EQ(format_sample(1 << 20, SampleUnit::kBytes), "1.00 MiB");
}

TEST(viewer_document, stepping_the_cursor_visits_changes_of_the_selected_series) {
  const Document document = load(testing::training_trace());
  ViewState state(document);
  const Track& pool = document.tracks[0];
  state.set_cursor(pool.curve.points[5].time_ns);
  state.step_cursor(document, true);
  EXPECT_EQ(state.cursor_ns, pool.curve.points[6].time_ns);
  state.step_cursor(document, false);
  EXPECT_EQ(state.cursor_ns, pool.curve.points[5].time_ns);
  state.go_to_peak(document);
  EXPECT_EQ(state.cursor_ns, pool.curve.peak_ns);
}

}  // namespace
}  // namespace tidemark::viewer
