// Drives the real panels without a window or OpenGL: input is put into Dear ImGui as a backend
// would, and what the panels did is read from the state they share and from what they drew.
#include <gtest/gtest.h>

#include <cmath>

#include "viewer_ui.h"

namespace tidemark::viewer {
namespace {

using testing::MemoryTrace;
using testing::Ui;

TEST(viewer_panels, every_track_draws_its_curve_in_its_own_colour) {
  Ui ui(testing::training_trace(), PanelName::kAll, {1280, 1800});
  ASSERT_EQ(ui.timeline().tracks().size(), 6U);
  for (size_t i = 0; i < 6; ++i) {
    const Colour colour = series_colour(ui.document.tracks[i].curve.series, Theme::kDark);
    EXPECT_GT(ui.drawn(colour, ui.timeline().tracks()[i]), 4U) << ui.document.tracks[i].name;
  }
}

TEST(viewer_panels, the_peak_is_drawn_as_high_as_it_is_when_ten_steps_share_few_pixels) {
  Ui ui(testing::training_trace(), PanelName::kTimeline, {420, 700});
  const auto& box = ui.timeline().tracks()[0];
  const Colour colour = series_colour(ui.document.tracks[0].curve.series, Theme::kDark);
  float top = box.max.y;
  const ImDrawData* data = ImGui::GetDrawData();
  for (int i = 0; i < data->CmdListsCount; ++i) {
    for (const ImDrawVert& v : data->CmdLists[i]->VtxBuffer) {
      if (v.col == to_u32(colour) && v.pos.x > box.min.x && v.pos.y >= box.min.y) {
        top = std::min(top, v.pos.y);
      }
    }
  }
  // The line's upper edge lies within the headroom, just below the track's upper edge.
  EXPECT_LT(top, box.min.y + box.height() * 0.45F);
}

TEST(viewer_panels, wheel_zooms_about_the_mouse) {
  Ui ui(testing::training_trace());
  const ImVec2 at{ui.plot_x(0.7), ui.track_y(1)};
  ui.move(at);
  const double before = ui.moment_at(at.x);
  const double span = ui.state.axis.span_ns();
  ui.wheel(3);
  EXPECT_LT(ui.state.axis.span_ns(), span * 0.6);
  EXPECT_NEAR(ui.moment_at(at.x), before, ui.state.axis.span_ns() * 1e-6);
  ui.wheel(-50);
  EXPECT_TRUE(ui.state.axis.shows_all());
}

TEST(viewer_panels, wheel_outside_of_the_plot_does_not_zoom) {
  Ui ui(testing::training_trace());
  const auto& rows = ui.workspace.live();
  ASSERT_GT(rows.table().size(), 0U);
  ui.move({640, 850});
  ui.wheel(3);
  EXPECT_TRUE(ui.state.axis.shows_all());
}

TEST(viewer_panels, drag_pans_and_leaves_the_cursor) {
  Ui ui(testing::training_trace());
  ui.move({ui.plot_x(0.5), ui.track_y(0)});
  ui.wheel(8);
  ui.pause();
  const double begin = ui.state.axis.begin_ns();
  const int64_t cursor = ui.state.cursor_ns;
  const double grabbed = ui.moment_at(ui.plot_x(0.5));
  ui.button(true);
  for (int i = 1; i <= 10; ++i)
    ui.move({ui.plot_x(0.5) - static_cast<float>(i) * 12.0F, ui.track_y(0)});
  ui.button(false);
  EXPECT_GT(ui.state.axis.begin_ns(), begin);
  // What was grabbed is still under the mouse.
  EXPECT_NEAR(ui.moment_at(ui.plot_x(0.5) - 120.0F), grabbed, ui.state.axis.span_ns() * 1e-6);
  EXPECT_EQ(ui.state.cursor_ns, cursor);
}

TEST(viewer_panels, click_moves_the_cursor_to_the_columns_peak_and_the_table_follows) {
  Ui ui(testing::training_trace());
  const Track& pool = ui.document.tracks[0];
  ASSERT_EQ(ui.state.cursor_ns, pool.curve.peak_ns);
  const uint64_t at_peak = ui.workspace.live().table().answer()->bytes;
  EXPECT_EQ(at_peak, static_cast<uint64_t>(pool.curve.peak_bytes));

  const float x = ui.plot_x(0.8);
  ui.click({x, ui.track_y(0)});
  ui.frames(2);
  const int column = static_cast<int>(x - ui.timeline().plot().min.x);
  const int64_t begin = ui.state.axis.column_begin_ns(column);
  const int64_t end = ui.state.axis.column_begin_ns(column + 1);
  EXPECT_GE(ui.state.cursor_ns, begin);
  EXPECT_LT(ui.state.cursor_ns, end);
  EXPECT_EQ(pool.pyramid.value_at(ui.state.cursor_ns), pool.pyramid.over(begin, end).max);
  const LiveAnswer* answer = ui.workspace.live().table().answer();
  ASSERT_NE(answer, nullptr);
  EXPECT_EQ(answer->time_ns, ui.state.cursor_ns);
  EXPECT_EQ(answer->bytes, static_cast<uint64_t>(pool.pyramid.value_at(ui.state.cursor_ns)));
  EXPECT_NE(answer->bytes, at_peak);
}

TEST(viewer_panels, clicking_another_track_selects_its_series_for_the_table) {
  Ui ui(testing::training_trace());
  ui.click({ui.plot_x(0.6), ui.track_y(4)});
  ui.frames(2);
  EXPECT_EQ(ui.state.selected, ui.document.tracks[4].curve.series);
  const LiveAnswer* answer = ui.workspace.live().table().answer();
  EXPECT_EQ(answer->series, ui.document.tracks[4].curve.series);
  EXPECT_EQ(answer->bytes,
            static_cast<uint64_t>(ui.document.tracks[4].pyramid.value_at(ui.state.cursor_ns)));
  const int64_t cursor = ui.state.cursor_ns;
  ui.click({ui.timeline().plot().min.x - 60, ui.track_y(1)});  // its name selects without moving
  EXPECT_EQ(ui.state.selected, ui.document.tracks[1].curve.series);
  EXPECT_EQ(ui.state.cursor_ns, cursor);
}

TEST(viewer_panels, double_click_and_f_show_all) {
  Ui ui(testing::training_trace());
  ui.move({ui.plot_x(0.5), ui.track_y(0)});
  ui.wheel(6);
  ASSERT_FALSE(ui.state.axis.shows_all());
  ui.click({ui.plot_x(0.5), ui.track_y(0)});
  EXPECT_FALSE(ui.state.axis.shows_all());
  ui.button(true);
  ui.button(false);
  EXPECT_TRUE(ui.state.axis.shows_all());
  ui.wheel(6);
  ASSERT_FALSE(ui.state.axis.shows_all());
  ui.press(kKeyF);
  EXPECT_TRUE(ui.state.axis.shows_all());
}

TEST(viewer_panels, letters_zoom_pan_step_and_find_the_peak) {
  Ui ui(testing::training_trace());
  ui.move({ui.plot_x(0.5), ui.track_y(0)});
  ui.key(kKeyW, true);
  ui.frames(20);
  ui.key(kKeyW, false);
  const double span = ui.state.axis.span_ns();
  EXPECT_LT(span, static_cast<double>(ui.document.end_ns) * 0.8);
  const double begin = ui.state.axis.begin_ns();
  ui.key(kKeyD, true);
  ui.frames(3);
  ui.key(kKeyD, false);
  EXPECT_GT(ui.state.axis.begin_ns(), begin);
  ui.key(kKeyA, true);
  ui.frames(12);
  ui.key(kKeyA, false);
  EXPECT_LT(ui.state.axis.begin_ns(), begin);
  ui.key(kKeyS, true);
  ui.frames(90);
  ui.key(kKeyS, false);
  EXPECT_TRUE(ui.state.axis.shows_all());

  const Track& pool = ui.document.tracks[0];
  ui.press(kKeyPeriod);
  EXPECT_EQ(ui.state.cursor_ns, pool.pyramid.next_change(pool.curve.peak_ns));
  ui.press(kKeyComma);
  EXPECT_EQ(ui.state.cursor_ns, pool.curve.peak_ns);
  ui.state.set_cursor(0);
  ui.press(kKeyP);
  EXPECT_EQ(ui.state.cursor_ns, pool.curve.peak_ns);
  ui.press(kKeyT);
  EXPECT_EQ(ui.state.theme, Theme::kLight);
}

TEST(viewer_panels, clicking_a_row_selects_its_stack) {
  Ui ui(testing::training_trace(), PanelName::kLive);
  const LiveTable& table = ui.workspace.live().table();
  ASSERT_GT(table.size(), 3U);
  ASSERT_EQ(table.selected(), 0U);
  // Rows follow each other below the header; the third is found wherever the fonts put it.
  for (float y = 40; y < 200 && table.selected() == 0U; y += 8) ui.click({60, y});
  ASSERT_TRUE(table.selected().has_value());
  EXPECT_GT(*table.selected(), 0U);
}

TEST(viewer_panels, any_trace_and_any_window_can_be_drawn) {
  for (const PanelName panel :
       {PanelName::kAll, PanelName::kTimeline, PanelName::kLive, PanelName::kSummary}) {
    for (const ImVec2 size : {ImVec2{1, 1}, ImVec2{2, 2}, ImVec2{16, 17}, ImVec2{19, 90},
                              ImVec2{40, 30}, ImVec2{7680, 4320}}) {
      Ui full(testing::training_trace(), panel, size);
      full.move({size.x / 2, size.y / 2});
      full.wheel(2);
      EXPECT_TRUE(ImGui::GetDrawData()->Valid);
    }
    MemoryTrace lossy;
    lossy.finished = false;
    lossy.losses = {{"ring_full", trace::Severity::kDataLoss, 12}};
    Ui empty(lossy, panel);
    empty.click({640, 300});
    EXPECT_TRUE(ImGui::GetDrawData()->Valid);
  }
}

TEST(viewer_panels, a_loss_is_shown_in_the_colour_of_its_severity) {
  MemoryTrace trace = testing::training_trace();
  trace.losses = {{"ring_full", trace::Severity::kDataLoss, 12}};
  Ui ui(trace, PanelName::kSummary);
  const TimelinePanel::Box all{{0, 0}, {1280, 900}};
  EXPECT_GT(ui.drawn(palette(Theme::kDark).warning, all), 0U);
  Ui fine(testing::training_trace(), PanelName::kSummary);
  EXPECT_EQ(fine.drawn(palette(Theme::kDark).warning, all), 0U);
  EXPECT_GT(fine.drawn(palette(Theme::kDark).good, all), 0U);
}

TEST(viewer_panels, panels_are_known_by_name) {
  EXPECT_FALSE(panel_from("nonsense").has_value());
  EXPECT_EQ(panel_from("timeline"), PanelName::kTimeline);
}

}  // namespace
}  // namespace tidemark::viewer
