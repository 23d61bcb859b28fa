// What is remembered, followed, opened and previewed: settings, a trace that grows while it is
// looked at, editors, advice, and usage by layer of the model.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "tidemark/analyzer/advise.h"
#include "tidemark/trace/writer.h"
#include "tidemark/viewer/differences.h"
#include "tidemark/viewer/editor.h"
#include "tidemark/viewer/forecast.h"
#include "tidemark/viewer/growth.h"
#include "tidemark/viewer/loader.h"
#include "tidemark/viewer/settings.h"
#include "tidemark/viewer/view_state.h"
#include "viewer_fixtures.h"

namespace tidemark::viewer {
namespace {

namespace fs = std::filesystem;

using testing::kPool;

class viewer_comfort : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              ("tidemark-comfort-" + std::to_string(getpid()) + "-" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const char* name) const { return (folder_ / name).string(); }

 private:
  fs::path folder_;
};

Settings unlike_the_default() {
  Settings settings;
  settings.theme = Theme::kLight;
  settings.colouring = Colouring::kLayer;
  settings.packed = true;
  settings.text_scale = 1.21F;
  settings.timeline_share = 0.4F;
  settings.panel = "segments";
  settings.width = 900;
  settings.height = 700;
  return settings;
}

TEST_F(viewer_comfort, settings_come_back_as_they_were_left) {
  const std::string path = file("config/tidemark/view");
  ASSERT_TRUE(SettingsFile(path).keep(unlike_the_default()).has_value());
  EXPECT_EQ(SettingsFile(path).settings(), unlike_the_default());
  EXPECT_EQ(SettingsFile("").settings(), Settings());
  EXPECT_TRUE(SettingsFile("").keep(unlike_the_default()).has_value());
  // In place of the folder there is a file.
  std::ofstream(file("blocked")) << "x";
  SettingsFile blocked(file("blocked") + "/tidemark/view");
  const auto kept = blocked.keep(unlike_the_default());
  ASSERT_FALSE(kept.has_value());
  EXPECT_NE(kept.error().message.find("blocked"), std::string::npos);
}

TEST_F(viewer_comfort, damaged_settings_and_those_of_another_version_are_no_harm) {
  EXPECT_EQ(parse_settings(""), Settings());
  EXPECT_EQ(parse_settings("theme purple\nwidth many\ntext_scale nan\nfuture 12\nnonsense"),
            Settings());
  const Settings bounded =
      parse_settings("text_scale 900\nwidth -5\ntimeline_share 0\ntheme light");
  EXPECT_EQ(bounded.text_scale, 4.0F);
  EXPECT_EQ(bounded.width, 200);
  EXPECT_EQ(bounded.timeline_share, 0.2F);
  EXPECT_EQ(bounded.theme, Theme::kLight);
  std::string noise(5000, '\0');
  for (size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<char>(i * 7);
  EXPECT_EQ(parse_settings(noise).width, Settings().width);
}

std::vector<std::string> command(std::map<std::string, std::string> variables, int line = 42) {
  return editor_command([&](const char* name) { return variables[name]; }, "/src/train.py", line);
}

TEST_F(viewer_comfort, an_editor_is_told_the_line_in_its_own_way) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(command({}), (Words{"code", "-g", "/src/train.py:42"}));
  EXPECT_EQ(command({{"EDITOR", "vim"}}),
            (Words{"x-terminal-emulator", "-e", "vim", "+42", "/src/train.py"}));
  EXPECT_EQ(command({{"EDITOR", "vim"}, {"VISUAL", "gedit"}}),
            (Words{"gedit", "+42", "/src/train.py"}));
  EXPECT_EQ(command({{"VISUAL", "vim"}, {"TIDEMARK_EDITOR", "/opt/bin/code --new-window"}}),
            (Words{"/opt/bin/code", "--new-window", "-g", "/src/train.py:42"}));
  EXPECT_EQ(command({{"EDITOR", "subl"}}), (Words{"subl", "/src/train.py:42"}));
  EXPECT_EQ(command({{"EDITOR", "kate"}}), (Words{"kate", "--line", "42", "/src/train.py"}));
  EXPECT_EQ(command({{"EDITOR", "code"}}, 0), (Words{"code", "/src/train.py"}));
  // Names in a trace are no options, and what is not here is said.
  EXPECT_FALSE(open_in_editor("--wait", 1).has_value());
  EXPECT_FALSE(open_in_editor("/nowhere/train.py", 1).has_value());
}

TEST_F(viewer_comfort, an_editor_is_started_with_the_place) {
  const std::string editor = file("editor");
  std::ofstream(editor)
      << "#!/bin/sh\necho \"$@\" > \"$0.said.new\" && mv \"$0.said.new\" \"$0.said\"\n";
  fs::permissions(editor, fs::perms::owner_all);
  std::ofstream(file("train.py")) << "pass\n";
  const auto opened = open_in_editor(file("train.py"), 7, [&](const char* name) {
    return name == std::string("TIDEMARK_EDITOR") ? editor : "";
  });
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  for (int i = 0; i < 500 && !fs::exists(editor + ".said"); ++i) usleep(10'000);
  std::string said;
  std::getline(std::ifstream(editor + ".said"), said);
  EXPECT_EQ(said, "+7 " + file("train.py"));
}

Loaded load(const std::string& path) {
  Loader loader([&] { return trace::Reader::open(path); });
  loader.wait();
  return loader.loaded();
}

TEST_F(viewer_comfort, a_trace_that_is_being_recorded_is_read_again_as_it_grows) {
  const std::string path = file("growing.db");
  auto created = trace::Writer::create(path);
  ASSERT_TRUE(created.has_value()) << created.error().message;
  trace::Writer& writer = **created;
  trace::Process process;
  process.pid = 7;
  const trace::ProcessId id = writer.add_process(process);
  const auto allocate = [&](int64_t time_ns) {
    trace::Allocation row;
    row.process = id;
    row.layer = trace::Layer::kPool;
    row.space = trace::Space::kDevice;
    row.device = 0;
    row.size = 1024;
    row.address = static_cast<uint64_t>(time_ns) << 20;
    row.alloc_ns = time_ns;
    writer.add_allocation(row);
  };
  allocate(1000);
  ASSERT_TRUE(writer.flush().has_value());
  Growth growth(path);
  const Loaded first = load(path);
  ASSERT_EQ(first.error, "");
  EXPECT_FALSE(first.document->summary.finished);
  EXPECT_EQ(first.document->summary.allocations, 1U);
  EXPECT_FALSE(growth.grew(std::chrono::milliseconds(0))) << "reading it is no growth";
  for (int64_t i = 2; i <= 50; ++i) allocate(i * 1000);
  ASSERT_TRUE(writer.flush().has_value());
  EXPECT_TRUE(growth.grew(std::chrono::milliseconds(0)));
  EXPECT_FALSE(growth.grew(std::chrono::milliseconds(0)));
  const Loaded second = load(path);
  ASSERT_EQ(second.error, "");
  EXPECT_EQ(second.document->summary.allocations, 50U);
  // What was all in view stays all in view; what was zoomed into stays where it was.
  ViewState all(*first.document);
  ViewState near = all;
  near.axis.frame(200, 400);
  all.grow(*second.document);
  near.grow(*second.document);
  EXPECT_TRUE(all.axis.shows_all());
  EXPECT_GE(all.axis.end_ns(), 50'000);
  EXPECT_NEAR(near.axis.begin_ns(), 200, 1);
  ASSERT_TRUE(writer.finish().has_value());
  EXPECT_TRUE(load(path).document->summary.finished);
}

TEST_F(viewer_comfort, previewed_advice_predicts_what_it_promised) {
  const auto reader = trace::Reader::open(TIDEMARK_SAMPLE_TRACE);
  ASSERT_TRUE(reader.has_value()) << reader.error().message;
  const auto schedule = analyzer::build_schedule(**reader, kPool);
  ASSERT_TRUE(schedule.has_value()) << schedule.error().message;
  const auto list = analyzer::advise(*schedule, uint64_t{5} << 30);
  ASSERT_TRUE(list.has_value()) << list.error().message;
  ASSERT_FALSE(list->choices.empty());
  for (const analyzer::Advice& advice : list->choices) {
    auto choice = from_whatif(advice.what, 0);
    ASSERT_TRUE(choice.has_value()) << advice.changes[0];
    const Forecast shown = forecast(*schedule, *choice);
    EXPECT_EQ(shown.error, "");
    EXPECT_EQ(shown.prediction.predicted.allocated, advice.prediction.predicted.allocated);
    EXPECT_EQ(shown.prediction.predicted.reserved, advice.prediction.predicted.reserved);
  }
  analyzer::WhatIf beyond;
  beyond.inference = true;
  EXPECT_FALSE(from_whatif(beyond, 0).has_value());
}

TEST_F(viewer_comfort, usage_by_layer_adds_up_to_usage) {
  const Loaded loaded = load(TIDEMARK_SAMPLE_TRACE);
  ASSERT_EQ(loaded.error, "");
  const LayerSplit* split = loaded.insight->layers_of(kPool);
  ASSERT_NE(split, nullptr);
  ASSERT_GT(split->parts.size(), 4U);
  EXPECT_LE(split->parts.size(), LayerSplit::kMostLayers + 2);
  EXPECT_NE(std::find_if(split->parts.begin(), split->parts.end(),
                         [](const auto& part) { return part.name == "GPT2Block[3]"; }),
            split->parts.end());
  const Track* pool = loaded.document->find(kPool);
  for (size_t i = 0; i < pool->curve.points.size(); i += 7) {
    const analyzer::UsagePoint& point = pool->curve.points[i];
    int64_t sum = 0;
    for (const LayerSplit::Part& part : split->parts) {
      const auto after = std::upper_bound(
          part.points.begin(), part.points.end(), point.time_ns,
          [](int64_t time, const analyzer::UsagePoint& other) { return time < other.time_ns; });
      if (after != part.points.begin()) sum += std::prev(after)->bytes;
    }
    ASSERT_EQ(sum, point.bytes) << "at " << point.time_ns;
  }
}

TEST_F(viewer_comfort, every_allocation_is_counted_on_the_track_of_its_thread) {
  testing::MemoryTrace trace;
  trace.end_ns = 10'000'000;
  trace.threads = {{trace::ThreadId{1}, testing::kTrainer, 70, "main"},
                   {trace::ThreadId{2}, testing::kTrainer, 71, "loader"}};
  for (int64_t i = 0; i < 900; ++i) {
    const size_t row = trace.allocate(trace::Layer::kHeap, trace::Space::kHost, 64,
                                      i < 700 ? i * 10'000 : 9'000'000, {}, "malloc");
    trace.allocations[row].thread = trace::ThreadId{i < 700 ? 1 : 2};
  }
  const auto activity = load_activity(
      testing::MemoryReader(std::make_shared<const testing::MemoryTrace>(std::move(trace))));
  ASSERT_TRUE(activity.has_value());
  ASSERT_EQ(activity->threads.size(), 2U);
  EXPECT_EQ(activity->threads[0].name, "thread main (70)");
  EXPECT_EQ(activity->threads[0].allocations, 700U);
  EXPECT_EQ(activity->threads[1].allocations, 200U);
  EXPECT_EQ(activity->threads[1].most, 200);
  EXPECT_EQ(activity->threads[1].pyramid.over(8'990'000, 9'010'000).max, 200);
  EXPECT_EQ(activity->threads[1].pyramid.over(0, 8'000'000).max, 0);
  EXPECT_LE(activity->threads[0].most, 2);
}

TEST_F(viewer_comfort, differences_of_two_traces_are_those_of_diff) {
  const auto open = [] { return trace::Reader::open(TIDEMARK_SAMPLE_TRACE); };
  const auto other = [] { return trace::Reader::open(TIDEMARK_EXPANDABLE_TRACE); };
  const auto worker = make_differences(open, other, {});
  worker->wait();
  const DifferencesAnswer answer = worker->latest()->answer;
  ASSERT_TRUE(answer->has_value()) << answer->error().message;
  for (const analyzer::SeriesDiff& series : answer->value().series) {
    int64_t by_line = 0;
    for (const analyzer::DiffRow& row : series.lines) by_line += row.change();
    EXPECT_EQ(by_line, series.change());
  }
  const auto missing =
      make_differences(open, [] { return trace::Reader::open("/nowhere/other.db"); }, {});
  missing->wait();
  EXPECT_FALSE(missing->latest()->answer->has_value());
}

}  // namespace
}  // namespace tidemark::viewer
