// Lists that a user works with: advice that is previewed with a click, tables that are exported,
// tracks that are moved, hidden and filtered. The real panels, driven by injected input.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>

#include "tidemark/analyzer/advise.h"
#include "tidemark/analyzer/report.h"
#include "tidemark/viewer/csv.h"
#include "tidemark/viewer/format.h"
#include "viewer_ui.h"

namespace tidemark::viewer {
namespace {

using testing::kPool;
using testing::opener;
using testing::Ui;

const ImVec2 kLarge{1700, 1300};

// Clicks further and further down below the panels' names until `done`.
template <class Done>
void click_down(Ui& ui, float x, const Done& done) {
  const float step = ImGui::GetStyle().CellPadding.y * 2 + ui.font_size();
  for (float y = ui.timeline().plot().max.y + step * 3;
       y < ImGui::GetIO().DisplaySize.y - step && !done(); y += step * 0.6F) {
    ui.click({x, y});
  }
}

size_t lines_of(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

// What Ctrl+E hands to the program.
std::vector<CsvFile> exported(Ui& ui) {
  ui.modifiers(false, true);
  ui.press(kKeyE);
  ui.modifiers(false);
  const auto files = ui.workspace.take_export();
  EXPECT_TRUE(files.has_value());
  return files.value_or(std::vector<CsvFile>());
}

TEST(viewer_lists, a_clicked_row_of_advice_to_fit_a_card_is_previewed) {
  Ui ui(opener(TIDEMARK_SAMPLE_TRACE), PanelName::kAll, kLarge);
  ui.command("fit gtx");
  ui.look();
  ASSERT_EQ(ui.workspace.below(), PanelName::kWhatIf);
  ASSERT_TRUE(Ui::shows("Advice to fit into 4.00 GiB")) << Ui::shown();
  const auto schedule = analyzer::build_schedule(ui.reader(), kPool);
  ASSERT_TRUE(schedule.has_value()) << schedule.error().message;
  const auto list = analyzer::advise(*schedule, uint64_t{4} << 30);
  ASSERT_TRUE(list.has_value()) << list.error().message;
  ASSERT_FALSE(list->choices.empty());

  const WhatIfPanel& panel = ui.workspace.whatif();
  ASSERT_TRUE(panel.choice().changes_nothing());
  click_down(ui, kLarge.x * 0.8F, [&] { return !panel.choice().changes_nothing(); });
  ui.look();
  const auto promised =
      std::find_if(list->choices.begin(), list->choices.end(), [&](const analyzer::Advice& advice) {
        const auto choice = from_whatif(advice.what, 0);
        return choice && choice->same_changes(panel.choice());
      });
  ASSERT_NE(promised, list->choices.end()) << "what was clicked stands in no row";
  ASSERT_NE(panel.shown(), nullptr);
  EXPECT_EQ(panel.shown()->prediction.predicted.allocated,
            promised->prediction.predicted.allocated);
  EXPECT_EQ(panel.shown()->prediction.predicted.reserved, promised->prediction.predicted.reserved);
  EXPECT_TRUE(Ui::shows("Predicted peak " + format_bytes(static_cast<int64_t>(
                                                promised->prediction.predicted.allocated))))
      << Ui::shown();
}

TEST(viewer_lists, advice_by_technique_is_that_of_the_report_and_previewed_by_a_click) {
  Ui ui(opener(TIDEMARK_SAMPLE_TRACE), PanelName::kAll, kLarge);
  ui.workspace.show(PanelName::kAdvice);
  ui.look();
  analyzer::ReportOptions options;
  options.advice = analyzer::AdviceDepth::kAll;
  const auto report = analyzer::build_report(ui.reader(), options);
  ASSERT_TRUE(report.has_value()) << report.error().message;
  const analyzer::TechniqueAdvice& advice = *report->techniques;
  ASSERT_EQ(advice.lines.size(), analyzer::kTechniques);
  for (const analyzer::TechniqueLine& line : advice.lines) {
    EXPECT_TRUE(Ui::shows(analyzer::technique_text(line.technique)));
    if (line.peak_with_bytes) {
      EXPECT_TRUE(Ui::shows(format_bytes(*line.peak_with_bytes)));
    }
  }
  const auto of = [&](analyzer::Technique technique) -> const analyzer::TechniqueLine& {
    return advice.lines[static_cast<size_t>(technique)];
  };
  const auto click = [&](analyzer::Technique technique) {
    click_down(ui, kLarge.x * 0.3F, [&] { return ui.workspace.advice().selected() == technique; });
    ui.look();
    ASSERT_EQ(ui.workspace.advice().selected(), technique);
  };
  // Each whose worth a replay predicts: sliders, switches and the curve follow.
  for (const auto technique : {analyzer::Technique::kCheckpointing,
                               analyzer::Technique::kQuantization, analyzer::Technique::kPruning,
                               analyzer::Technique::kLowRank, analyzer::Technique::kSharding}) {
    const analyzer::TechniqueLine& line = of(technique);
    ASSERT_TRUE(line.what.has_value()) << analyzer::to_string(technique);
    click(technique);
    const auto answered = ui.questions.forecast().latest();
    ASSERT_NE(answered, nullptr);
    EXPECT_EQ(answered->answer->error, "");
    EXPECT_EQ(static_cast<int64_t>(answered->answer->prediction.predicted.reserved),
              line.peak_with_bytes)
        << analyzer::to_string(technique);
    EXPECT_TRUE(ui.workspace.whatif().choice().same_changes(answered->question));
    EXPECT_TRUE(Ui::shows("Drawn over the recorded curve")) << Ui::shown();
    EXPECT_TRUE(Ui::shows(line.why)) << Ui::shown();
    EXPECT_EQ(ui.workspace.below(), PanelName::kAdvice) << "to go on with the next";
  }
  // No replay tells of pinned memory: what was recorded is drawn again.
  ASSERT_FALSE(of(analyzer::Technique::kPinning).what.has_value());
  click(analyzer::Technique::kPinning);
  EXPECT_TRUE(ui.workspace.whatif().choice().changes_nothing());
  EXPECT_FALSE(Ui::shows("Drawn over the recorded curve"));
}

TEST(viewer_lists, each_panel_exports_what_it_shows) {
  Ui ui(testing::device_trace());
  ui.state.axis.frame_all();
  ui.state.set_cursor(30'000'000);
  ui.workspace.show(PanelName::kLive);
  ui.look();
  auto files = exported(ui);
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(files[0].name, "live");
  EXPECT_EQ(files[0].text,
            "bytes,blocks,call,allocated_at\n"
            "268435456,1,c10,Mlp.forward (model.py:78)\n"
            "67108864,1,c10,load_weights (model.py:12)\n");

  Choice choice;
  choice.block = trace::AllocationId{2};
  choice.block_series = kPool;
  choice.block_ns = 20'000'000;
  ui.state.choose(choice);
  ui.look();
  files = exported(ui);
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(files[0].name, "uses");
  EXPECT_EQ(files[0].text,
            "use,id,start_ns,end_ns,by\nkernel,1,30000000,35000000,gemm\n"
            "kernel,2,40000000,45000000,relu\n");

  choice = {};
  choice.operation = 1;
  choice.operation_kind = SliceKind::kKernel;
  choice.operation_ns = 30'000'000;
  ui.state.choose(choice);
  ui.look();
  files = exported(ui);
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(files[0].name, "blocks");
  EXPECT_EQ(lines_of(files[0].text), 3U) << files[0].text;
  EXPECT_NE(files[0].text.find("268435456,20000000,60000000\n"), std::string::npos);

  ui.state.choose({});
  ui.state.set_range(15'000'000, 50'000'000);
  ui.look();
  files = exported(ui);
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(files[0].name, "range");
  EXPECT_NE(files[0].text.find("\n268435456,268435456,1,0,0,268435456,1,0,0,Mlp.forward"),
            std::string::npos)
      << files[0].text;

  ui.workspace.show(PanelName::kSearch);
  ui.workspace.search().look_for("gemm");
  ui.look();
  files = exported(ui);
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(files[0].text,
            "bytes,begin_ns,end_ns,in,what\n"
            ",30000000,35000000,stream 7,\"void gemm<float>(float const*, float*)\"\n");

  ui.workspace.show(PanelName::kFindings);
  ui.look();
  files = exported(ui);
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(lines_of(files[0].text), ui.insight.findings.size() + 1);

  // The curve of the selected series, whichever panel is open.
  ui.command("export the curve");
  const auto curve = ui.workspace.take_export();
  ASSERT_TRUE(curve && curve->size() == 1);
  EXPECT_EQ(curve->front().name, "usage");
  EXPECT_NE(curve->front().text.find("\n20000000,pool device:0,335544320\n"), std::string::npos)
      << curve->front().text;
}

TEST(viewer_lists, segments_forecast_and_differences_are_exported_whole) {
  Ui ui(opener(TIDEMARK_SAMPLE_TRACE), PanelName::kAll, kLarge);
  const auto sum = [](const std::string& text, size_t column) {
    uint64_t total = 0;
    for (size_t at = text.find('\n') + 1; at < text.size(); at = text.find('\n', at) + 1) {
      size_t cell = at;
      for (size_t i = 0; i < column; ++i) cell = text.find(',', cell) + 1;
      uint64_t value = 0;
      std::from_chars(text.data() + cell, text.data() + text.size(), value);
      total += value;
    }
    return total;
  };
  ui.workspace.show(PanelName::kSegments);
  ui.look();
  auto files = exported(ui);
  ASSERT_EQ(files.size(), 1U);
  const auto segments = ui.questions.segments().latest();
  ASSERT_TRUE(segments != nullptr && segments->answer->has_value());
  EXPECT_EQ(sum(files[0].text, 3), (*segments->answer)->bytes) << "pieces of all segments";

  ui.workspace.show(PanelName::kWhatIf);
  ui.workspace.whatif().set_batch(2);
  ui.look();
  files = exported(ui);
  ASSERT_EQ(files.size(), 1U);
  const auto peak = ui.workspace.whatif().shown()->prediction.predicted.allocated;
  EXPECT_NE(files[0].text.find(",predicted allocated," + std::to_string(peak) + "\n"),
            std::string::npos);

  ui.workspace.show(PanelName::kAdvice);
  ui.look();
  files = exported(ui);
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(lines_of(files[0].text), analyzer::kTechniques + 1);

  const auto other = std::make_shared<const Document>(testing::load(ui.reader()));
  ui.comparison = std::make_shared<const Comparison>(compare(ui.document, other));
  const auto worker =
      make_differences(opener(TIDEMARK_SAMPLE_TRACE), opener(testing::device_trace()), {});
  worker->wait();
  ui.differences = worker->latest()->answer;
  ui.workspace.show(PanelName::kCompare);
  ui.look();
  files = exported(ui);
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(lines_of(files[0].text), ui.comparison->series.size() + 1);
  EXPECT_EQ(files[1].name, "differences");
  EXPECT_EQ(sum(files[1].text, 1), static_cast<uint64_t>(ui.document.find(kPool)->curve.peak_bytes))
      << "the lines at the peak add up to it";
}

TEST(viewer_lists, a_csv_cell_is_quoted_and_never_a_formula) {
  CsvTable table({"a", "b"});
  table.add({"f(int, \"x\")", "plain"});
  table.add({"=HYPERLINK(1)", "-12"});
  table.add({"two\nlines", "-x"});
  EXPECT_EQ(table.take(),
            "a,b\n\"f(int, \"\"x\"\")\",plain\n\"'=HYPERLINK(1)\",-12\n\"two\nlines\",\"'-x\"\n");
}

std::vector<std::string> names(const Ui& ui) {
  std::vector<std::string> all;
  for (const auto& row : ui.timeline().rows()) all.push_back(row.track.name);
  return all;
}

// The menu of the track `row`, opened with the right button; its entry number `entry` is clicked.
void choose_in_menu(Ui& ui, size_t row, int entry) {
  const auto& box = ui.timeline().rows().at(row).box;
  const ImVec2 at{ui.timeline().plot().min.x - 60, (box.min.y + box.max.y) / 2};
  ui.click(at, 1);
  ui.frames(3);
  // Below the name and a line: padding, text and spacing as the style has them.
  const float line = ui.font_size() + std::floor(ui.font_size() * 0.4F);
  ui.click({at.x + 40, at.y + 8 + line + std::floor(ui.font_size() * 0.4F) +
                           line * (static_cast<float>(entry) + 0.4F)});
  ui.frames(3);
}

TEST(viewer_lists, tracks_are_pinned_moved_and_hidden_by_their_menu) {
  constexpr int kPin = 0;
  constexpr int kUp = 1;
  constexpr int kDown = 2;
  constexpr int kHide = 3;
  Ui ui(testing::device_trace(), PanelName::kAll, {1280, 1200});
  const std::vector<std::string> first = names(ui);
  ASSERT_GT(first.size(), 3U);
  choose_in_menu(ui, 0, kDown);
  std::vector<std::string> expected = first;
  std::swap(expected[0], expected[1]);
  EXPECT_EQ(names(ui), expected);
  ui.frames(5);
  EXPECT_EQ(names(ui), expected) << "it stays where it was moved";
  choose_in_menu(ui, 1, kUp);
  EXPECT_EQ(names(ui), first);
  choose_in_menu(ui, 2, kPin);
  EXPECT_EQ(names(ui)[0], first[2]);
  choose_in_menu(ui, 0, kPin);  // and not any more
  EXPECT_EQ(names(ui), first);
  choose_in_menu(ui, 1, kHide);
  expected = first;
  expected.erase(expected.begin() + 1);
  EXPECT_EQ(names(ui), expected);
  ui.command("show all tracks");
  EXPECT_EQ(names(ui).size(), ui.state.tracks.all().size());
}

TEST(viewer_lists, typing_above_the_names_filters_the_tracks) {
  Ui ui(testing::device_trace());
  const std::vector<std::string> all = names(ui);
  const auto& plot = ui.timeline().plot();
  const ImVec2 field{plot.min.x - 80, plot.min.y - ui.font_size()};
  ui.click(field);
  ui.type("stream");
  ui.frames(2);
  ASSERT_EQ(names(ui).size(), 1U);
  EXPECT_NE(names(ui)[0].find("stream"), std::string::npos);
  EXPECT_EQ(ui.state.theme, Theme::kDark) << "letters that are typed are no keys";
  ui.click({640, plot.max.y + 2});
  ui.command("show all tracks");
  EXPECT_GE(names(ui).size(), all.size());
}

TEST(viewer_lists, a_track_that_comes_later_finds_its_place_among_moved_ones) {
  Ui ui(testing::device_trace());
  TrackList tracks;
  tracks.update(ui.document, nullptr, false);
  ASSERT_EQ(tracks.shown().size(), 1U);
  tracks.update(ui.document, &ui.activity, false);
  const size_t all = tracks.shown().size();
  const TrackRow last = *tracks.shown().back();
  tracks.move(last, -1);
  tracks.update(ui.document, nullptr, false);  // as when a trace that grows is read again
  tracks.update(ui.document, &ui.activity, true);
  ASSERT_EQ(tracks.shown().size(), all + 1);
  EXPECT_EQ(tracks.shown()[0]->kind, TrackKind::kPhases);
  EXPECT_EQ(tracks.shown()[1]->kind, TrackKind::kUsage);
  EXPECT_EQ(tracks.shown()[2]->kind, TrackKind::kBlocks);
}

}  // namespace
}  // namespace tidemark::viewer
