// What a user finds out by clicking: the real panels, driven by injected input, and what they show
// then.
#include <gtest/gtest.h>

#include <algorithm>

#include "tidemark/viewer/format.h"
#include "viewer_ui.h"

namespace tidemark::viewer {
namespace {

using testing::MemoryTrace;
using testing::Ui;

constexpr int64_t kMilli = 1'000'000;
constexpr int64_t kMiB = int64_t{1} << 20;

// The middle of the bar of this block as it was drawn.
ImVec2 bar_of(const Ui& ui, int64_t id) {
  for (const DrawnBar& drawn : ui.timeline().bars()) {
    if (static_cast<int64_t>(drawn.bar.id) != id) continue;
    return {(drawn.min.x + drawn.max.x) / 2, (drawn.min.y + drawn.max.y) / 2};
  }
  ADD_FAILURE() << "block " << id << " was not drawn";
  return {0, 0};
}

ImVec2 at(const Ui& ui, TrackKind kind, int64_t time_ns, float share = 0.5F) {
  const TimelinePanel::Box* box = ui.row(kind);
  if (box == nullptr) {
    ADD_FAILURE() << "no such track";
    return {0, 0};
  }
  return {ui.timeline().plot().min.x +
              static_cast<float>(ui.state.axis.to_pixel(static_cast<double>(time_ns))),
          box->min.y + box->height() * share};
}

TEST(viewer_explore, a_clicked_block_shows_what_it_is_and_what_touched_it) {
  Ui ui(testing::device_trace());
  ui.state.axis.frame_all();
  ui.frames(2);
  ui.click(bar_of(ui, 2));
  ui.look();
  EXPECT_EQ(ui.state.choice.block, trace::AllocationId{2});
  EXPECT_EQ(ui.workspace.below(), PanelName::kDetails);
  EXPECT_TRUE(Ui::shows("256 MiB")) << Ui::shown();
  EXPECT_TRUE(Ui::shows("268,435,456 B"));
  EXPECT_TRUE(Ui::shows("Mlp.forward"));
  EXPECT_TRUE(Ui::shows("2 uses"));
  EXPECT_TRUE(Ui::shows("gemm"));
  EXPECT_TRUE(Ui::shows("relu"));
  EXPECT_TRUE(Ui::shows("Neighbours"));
  EXPECT_TRUE(Ui::shows("64.0 MiB"));  // weights lie below it
}

TEST(viewer_explore, a_block_of_a_trace_without_accesses_is_not_called_unused) {
  MemoryTrace trace = testing::device_trace();
  trace.accesses.clear();
  trace.meta.pop_back();
  Ui ui(trace);
  ui.state.axis.frame_all();
  ui.frames(2);
  ui.click(bar_of(ui, 2));
  ui.look();
  EXPECT_TRUE(Ui::shows("does not tell what used it")) << Ui::shown();
  EXPECT_FALSE(Ui::shows("ever touched it"));
}

TEST(viewer_explore, dragging_the_batch_slider_shows_the_predicted_peak) {
  Ui ui(testing::training_trace());
  ui.workspace.show(PanelName::kWhatIf);
  ui.look();
  const WhatIfPanel& panel = ui.workspace.whatif();
  ASSERT_NE(panel.shown(), nullptr);
  ASSERT_EQ(panel.shown()->error, "");
  EXPECT_TRUE(Ui::shows("Predicted peak")) << Ui::shown();
  const float y = (panel.batch_min().y + panel.batch_max().y) / 2;
  const float width = panel.batch_max().x - panel.batch_min().x;
  ui.drag({panel.batch_min().x + width * 0.4F, y}, {panel.batch_min().x + width * 0.7F, y});
  ui.look();
  EXPECT_GT(panel.choice().batch, 1.0);
  ASSERT_NE(panel.shown(), nullptr);
  EXPECT_EQ(panel.shown()->choice, panel.choice());
  // What is shown is what the analyzer says, be it a prediction or why there is none.
  const testing::MemoryReader reader(
      std::make_shared<const MemoryTrace>(testing::training_trace()));
  const auto schedule =
      analyzer::build_schedule(reader, {trace::Layer::kPool, trace::Space::kDevice, 0});
  ASSERT_TRUE(schedule.has_value()) << schedule.error().message;
  const auto prediction = analyzer::predict(*schedule, to_whatif(panel.choice()));
  if (prediction) {
    EXPECT_EQ(panel.shown()->prediction.predicted.allocated, prediction->predicted.allocated);
    EXPECT_TRUE(Ui::shows(format_bytes(static_cast<int64_t>(prediction->predicted.allocated))));
  } else {
    EXPECT_EQ(panel.shown()->error, prediction.error().message);
    EXPECT_TRUE(Ui::shows(prediction.error().message.substr(0, 20)));
  }
}

TEST(viewer_explore, a_clicked_kernel_shows_the_blocks_it_worked_on) {
  Ui ui(testing::device_trace());
  ui.state.axis.frame_all();
  ui.frames(2);
  ui.click(at(ui, TrackKind::kStream, 32 * kMilli));
  ui.look();
  EXPECT_EQ(ui.state.choice.operation, 1);
  EXPECT_EQ(ui.state.choice.operation_kind, SliceKind::kKernel);
  EXPECT_TRUE(Ui::shows("Kernel")) << Ui::shown();
  EXPECT_TRUE(Ui::shows("2 blocks"));
  EXPECT_TRUE(Ui::shows("320 MiB together"));
  ui.press(kKeyPeriod);  // the next in its stream
  ui.look();
  EXPECT_EQ(ui.state.choice.operation, 2);
  EXPECT_TRUE(Ui::shows("1 block"));
  ui.press(kKeyComma);
  ui.press(kKeyComma);  // past the kernels: the copy before them
  ui.look();
  EXPECT_EQ(ui.state.choice.operation_kind, SliceKind::kCopyToDevice);
  EXPECT_TRUE(Ui::shows("Copy"));
}

TEST(viewer_explore, shift_drag_measures_what_was_born_and_died_within) {
  Ui ui(testing::device_trace());
  ui.state.axis.frame_all();
  ui.frames(2);
  ui.modifiers(true);
  ui.drag(at(ui, TrackKind::kUsage, 15 * kMilli), at(ui, TrackKind::kUsage, 50 * kMilli));
  ui.modifiers(false);
  ui.look();
  ASSERT_TRUE(ui.state.range.has_value());
  EXPECT_NEAR(static_cast<double>(ui.state.range->begin_ns), 15e6, 1e6);
  EXPECT_NEAR(static_cast<double>(ui.state.range->end_ns), 50e6, 1e6);
  EXPECT_TRUE(Ui::shows("+256 MiB")) << Ui::shown();
  EXPECT_TRUE(Ui::shows("1 block, 0 of them died within"));
  EXPECT_TRUE(Ui::shows("born after A and live at B: 1 block; never freed: 0 B in 0 blocks"));
  ui.press(kKeyF);  // frames the range
  EXPECT_FALSE(ui.state.axis.shows_all());
  EXPECT_LT(ui.state.axis.begin_ns(), 15.1e6);
  EXPECT_GT(ui.state.axis.end_ns(), 49.9e6);
  ui.press(kKeyEscape);
  ui.frames(2);
  EXPECT_FALSE(ui.state.range.has_value());
  EXPECT_EQ(ui.workspace.below(), PanelName::kLive);
}

TEST(viewer_explore, a_clicked_range_of_the_program_is_selected) {
  Ui ui(testing::device_trace());
  ui.state.axis.frame_all();
  ui.frames(2);
  const TimelinePanel::Box* box = ui.row(TrackKind::kRanges);
  ASSERT_NE(box, nullptr);
  ui.click({at(ui, TrackKind::kRanges, 55 * kMilli).x, box->min.y + 8});
  ASSERT_TRUE(ui.state.range.has_value());
  EXPECT_EQ(*ui.state.range, (TimeRange{18 * kMilli, 62 * kMilli}));
}

TEST(viewer_explore, back_and_forward_return_to_what_was_looked_at) {
  Ui ui(testing::device_trace());
  ui.state.axis.frame_all();
  ui.frames(2);
  ui.click(bar_of(ui, 1));
  const ImVec2 second = bar_of(ui, 2);
  ui.click(second);
  ASSERT_EQ(ui.state.choice.block, trace::AllocationId{2});
  ui.modifiers(false, false, true);
  ui.press(kKeyLeft);
  EXPECT_EQ(ui.state.choice.block, trace::AllocationId{1});
  ui.press(kKeyRight);
  EXPECT_EQ(ui.state.choice.block, trace::AllocationId{2});
  ui.modifiers(false);
}

TEST(viewer_explore, search_finds_by_function_size_and_address_and_goes_there) {
  Ui ui(testing::device_trace());
  ui.press(kKeySlash);
  ui.frames(3);
  ASSERT_EQ(ui.workspace.below(), PanelName::kSearch);
  ui.type("load_weights");
  ui.frames(3);
  EXPECT_TRUE(Ui::shows("1 found, 64.0 MiB in blocks")) << Ui::shown();
  for (const auto& [words, found] : std::initializer_list<std::pair<const char*, uint64_t>>{
           {"256MiB", 1}, {">100 MiB", 1}, {"0x700004000001", 1}, {"gemm", 1}, {"nonsense", 0}}) {
    ui.workspace.search().look_for(words);
    ui.frames(3);
    ASSERT_NE(ui.workspace.search().shown(), nullptr);
    EXPECT_EQ(ui.workspace.search().shown()->answer.found, found) << words;
  }
  const SearchAnswer answer =
      search(testing::MemoryReader(std::make_shared<const MemoryTrace>(testing::device_trace())),
             &ui.activity, "0x700004000001");
  ASSERT_EQ(answer.hits.size(), 1U);
  EXPECT_EQ(answer.hits[0].choice.block, trace::AllocationId{2});
}

TEST(viewer_explore, the_palette_runs_a_command_by_its_letters) {
  Ui ui(testing::device_trace());
  ui.modifiers(false, true);
  ui.press(kKeyK);
  ui.modifiers(false);
  ui.frames(3);
  ASSERT_TRUE(ui.workspace.palette().is_open());
  ui.type("panel tree");
  ui.press(kKeyEnter);
  ui.frames(2);
  EXPECT_FALSE(ui.workspace.palette().is_open());
  EXPECT_EQ(ui.workspace.below(), PanelName::kTreemap);
}

TEST(viewer_explore, question_mark_shows_and_escape_hides_the_help) {
  Ui ui(testing::device_trace());
  ui.modifiers(true);
  ui.press(kKeySlash);
  ui.modifiers(false);
  EXPECT_TRUE(ui.workspace.help_is_open());
  ui.frames(2);
  ui.press(kKeyEscape);
  EXPECT_FALSE(ui.workspace.help_is_open());
}

TEST(viewer_explore, flame_graph_and_treemap_show_what_the_table_shows) {
  Ui ui(testing::training_trace());
  ui.workspace.show(PanelName::kFlame);
  ui.frames(3);
  const auto answer = ui.live.latest();
  ASSERT_NE(answer, nullptr);
  const auto& nodes = ui.workspace.flame().nodes();
  ASSERT_FALSE(nodes.empty());
  EXPECT_EQ(nodes[0].bytes, answer->bytes);
  ui.workspace.show(PanelName::kTreemap);
  ui.frames(3);
  uint64_t sum = 0;
  for (const TreeBox& box : ui.workspace.treemap().boxes()) sum += box.group < 0 ? box.bytes : 0;
  EXPECT_EQ(sum, answer->bytes);
}

TEST(viewer_explore, hidden_tracks_are_gone_and_pinned_ones_come_first) {
  Ui ui(testing::device_trace());
  const auto named = [&](size_t i) { return ui.timeline().rows().at(i).track.name; };
  const size_t all = ui.timeline().rows().size();
  const std::string last = named(all - 1);
  ui.state.tracks.pin(ui.timeline().rows().back().track, true);
  ui.frames(2);
  EXPECT_EQ(named(0), last);
  ui.state.tracks.hide(ui.timeline().rows()[0].track, true);
  ui.frames(2);
  EXPECT_EQ(ui.timeline().rows().size(), all - 1);
  ui.state.tracks.show_all();
  ui.frames(2);
  EXPECT_GE(ui.timeline().rows().size(), all);
  ui.state.tracks.set_filter("stream");
  ui.frames(2);
  EXPECT_EQ(ui.timeline().rows().size(), 1U);
}

TEST(viewer_explore, running_out_of_memory_is_drawn_over_the_tracks) {
  Ui ui(testing::device_trace());
  ui.state.axis.frame_all();
  ui.frames(2);
  const float x = at(ui, TrackKind::kUsage, 70 * kMilli).x;
  const auto& plot = ui.timeline().plot();
  EXPECT_GT(ui.drawn(palette(Theme::kDark).bad, {{x - 3, plot.min.y}, {x + 3, plot.max.y}}), 3U);
}

TEST(viewer_explore, capacity_of_the_card_is_a_line_once_it_is_near) {
  MemoryTrace trace = testing::device_trace();
  trace.meta[0].second = std::to_string(400 * kMiB);
  Ui near(trace);
  const auto line = [](const Ui& ui) {
    return ui.drawn(palette(Theme::kDark).bad, ui.timeline().tracks().at(0));
  };
  near.state.axis.frame(0, 65 * kMilli);  // without the moment at which memory ran out
  near.frames(2);
  EXPECT_GT(line(near), 20U);
  trace.meta[0].second = std::to_string(64 * 1024 * kMiB);
  Ui far(trace);
  far.state.axis.frame(0, 65 * kMilli);
  far.frames(2);
  EXPECT_EQ(line(far), 0U);
}

// device_trace() in a segment of its pool, and beside it a block that nothing uses.
MemoryTrace wasteful_trace() {
  MemoryTrace trace = testing::device_trace();
  trace.out_of_memory.clear();  // what such a program would have used next nobody knows
  const auto place = [&](trace::Layer layer, uint64_t mib_at, int64_t mib, const char* api) {
    const size_t index = trace.allocate(
        layer, trace::Space::kDevice, static_cast<uint64_t>(mib * kMiB), 5 * kMilli,
        trace.stack({{trace::FrameKind::kPython, "waste", "train.py", 9, "", false}}), api);
    trace.allocations[index].address = 0x7000'0000'0000 + mib_at * static_cast<uint64_t>(kMiB);
    trace.allocations[index].source = trace.intern("libc10_cuda.so");
  };
  place(trace::Layer::kDriver, 0, 512, "cudaMalloc");
  place(trace::Layer::kPool, 384, 128, "c10");
  return trace;
}

TEST(viewer_explore, a_clicked_finding_leads_to_its_block_and_its_time) {
  Ui ui(wasteful_trace());
  ui.state.axis.frame(60 * kMilli, 80 * kMilli);
  ui.workspace.show(PanelName::kFindings);
  ui.look();
  ASSERT_TRUE(Ui::shows("unused")) << Ui::shown();
  const TimelinePanel::Box& plot = ui.timeline().plot();
  for (float y = plot.max.y + 72; y < 880 && ui.state.choice.block == trace::AllocationId{};
       y += 8) {
    ui.click({60, y});
  }
  ui.frames(2);
  EXPECT_EQ(ui.state.choice.block, trace::AllocationId{4});
  EXPECT_EQ(ui.state.cursor_ns, 5 * kMilli);
  EXPECT_LE(ui.state.axis.begin_ns(), 5e6);
  EXPECT_EQ(ui.workspace.below(), PanelName::kFindings);  // to go on with the next
  EXPECT_GT(ui.drawn(palette(Theme::kDark).cursor, *ui.row(TrackKind::kBlocks)), 2U);
}

TEST(viewer_explore, segments_show_their_holes_and_a_clicked_block_is_chosen) {
  Ui ui(wasteful_trace());
  ui.state.set_cursor(50 * kMilli);
  ui.workspace.show(PanelName::kSegments);
  ui.look();
  EXPECT_TRUE(Ui::shows("512 MiB in 1 segment")) << Ui::shown();
  EXPECT_TRUE(Ui::shows("448 MiB in 3 blocks"));
  EXPECT_TRUE(Ui::shows("64.0 MiB free in 1 hole, the largest 64.0 MiB"));
  const auto pieces = ui.workspace.segments().pieces();
  ASSERT_EQ(pieces.size(), 4U);
  EXPECT_TRUE(pieces[2].piece.is_hole());
  const auto middle = [](const SegmentsPanel::DrawnPiece& piece) {
    return ImVec2{(piece.min.x + piece.max.x) / 2, (piece.min.y + piece.max.y) / 2};
  };
  ui.click(middle(pieces[2]));
  EXPECT_EQ(ui.state.choice.block, trace::AllocationId{});
  ui.click(middle(pieces[1]));
  EXPECT_EQ(ui.state.choice.block, trace::AllocationId{2});
  ui.state.set_cursor(65 * kMilli);  // freed since
  ui.look();
  EXPECT_TRUE(Ui::shows("320 MiB free in 1 hole")) << Ui::shown();
}

TEST(viewer_explore, b_packs_blocks_by_size_and_back) {
  Ui ui(wasteful_trace());
  ui.state.axis.frame_all();
  ui.frames(2);
  const float at_address = bar_of(ui, 2).y;
  ui.press(kKeyB);
  ui.frames(2);
  EXPECT_TRUE(ui.state.packed);
  EXPECT_GT(bar_of(ui, 2).y, at_address) << "the largest lies lowest";
  ui.click(bar_of(ui, 2));
  EXPECT_EQ(ui.state.choice.block, trace::AllocationId{2});
  ui.press(kKeyB);
  ui.frames(2);
  EXPECT_EQ(bar_of(ui, 2).y, at_address);
}

TEST(viewer_explore, c_colours_by_category_layer_and_series) {
  Ui ui(testing::device_trace());
  ui.state.axis.frame_all();
  ui.frames(2);
  const auto& blocks = *ui.row(TrackKind::kBlocks);
  const Colour series = with_alpha(
      series_colour({trace::Layer::kPool, trace::Space::kDevice, 0}, Theme::kDark), 0.78);
  EXPECT_EQ(ui.state.colouring, Colouring::kCategory);
  const size_t like_series = ui.drawn(series, blocks);  // parameters have the pool's colour
  ui.press(kKeyC);
  EXPECT_EQ(ui.state.colouring, Colouring::kLayer);
  ui.press(kKeyC);
  ui.frames(2);
  EXPECT_EQ(ui.state.colouring, Colouring::kSeries);
  EXPECT_GT(ui.drawn(series, blocks), like_series);
  ui.press(kKeyC);
  ui.frames(2);
  EXPECT_EQ(ui.state.colouring, Colouring::kCategory);
  EXPECT_EQ(ui.drawn(series, blocks), like_series);
}

TEST(viewer_explore, ctrl_c_copies_the_panel_below_and_nothing_else) {
  Ui ui(testing::device_trace());
  ui.state.axis.frame_all();
  ui.frames(2);
  ui.click(bar_of(ui, 2));
  ui.look();
  ASSERT_TRUE(Ui::shows("Mlp.forward"));
  ASSERT_TRUE(Ui::shows("Search"));  // a tab behind the panel
  ui.modifiers(false, true);
  ui.key(kKeyC, true);
  EXPECT_TRUE(Ui::shows("Mlp.forward")) << Ui::shown();
  EXPECT_TRUE(Ui::shows("268,435,456 B"));
  EXPECT_FALSE(Ui::shows("Search"));
  ui.key(kKeyC, false);
  ui.modifiers(false);
}

TEST(viewer_explore, ctrl_click_on_a_frame_asks_for_an_editor) {
  Ui ui(testing::device_trace());
  ui.state.axis.frame_all();
  ui.frames(2);
  ui.click(bar_of(ui, 2));
  ui.look();
  ui.modifiers(false, true);
  const float x = 1280 * 0.5F;
  for (float y = ui.timeline().plot().max.y + 60; y < 880 && !ui.state.wanted_source; y += 7) {
    ui.click({x, y});
  }
  ui.modifiers(false);
  ASSERT_TRUE(ui.state.wanted_source.has_value());
  EXPECT_EQ(ui.state.wanted_source->file, "/src/gpt2/model.py");
  EXPECT_EQ(ui.state.wanted_source->line, 78);
}

TEST(viewer_explore, advice_to_fit_the_card_is_what_the_analyzer_advises) {
  MemoryTrace trace = testing::training_trace();
  constexpr uint64_t kCard = uint64_t{5} << 30;
  trace.meta = {{"cuda.device.0.total_memory_bytes", std::to_string(kCard)}};
  const testing::MemoryReader reader(std::make_shared<const MemoryTrace>(trace));
  const auto schedule =
      analyzer::build_schedule(reader, {trace::Layer::kPool, trace::Space::kDevice, 0});
  ASSERT_TRUE(schedule.has_value()) << schedule.error().message;
  const auto advice = analyzer::advise(*schedule, kCard);
  Ui ui(std::move(trace), PanelName::kWhatIf);
  ui.look();
  EXPECT_TRUE(Ui::shows("Advice to fit into 5.00 GiB")) << Ui::shown();
  if (!advice) {
    EXPECT_TRUE(Ui::shows(advice.error().message.substr(0, 20))) << Ui::shown();
    return;
  }
  for (const analyzer::Advice& one : advice->choices) {
    for (const std::string& change : one.changes) {
      EXPECT_TRUE(Ui::shows(change.substr(0, 20))) << Ui::shown();
    }
  }
}

}  // namespace
}  // namespace tidemark::viewer
