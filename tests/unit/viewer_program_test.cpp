// Runs tidemark-view as a user does, on a trace written by trace::Writer.
#include <gtest/gtest.h>
#include <stb/stb_image.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <sstream>

#include "tidemark/trace/writer.h"
#include "tidemark/viewer/palette.h"
#include "viewer_fixtures.h"

namespace tidemark::viewer {
namespace {

using testing::kPool;

namespace fs = std::filesystem;

struct Outcome {
  int status = -1;
  std::string text;  // stdout and stderr
};

struct Pixels {
  int width = 0;
  int height = 0;
  std::vector<Colour> colours;
  size_t count(Colour colour) const {
    return static_cast<size_t>(std::count(colours.begin(), colours.end(), colour));
  }
};

class viewer_program : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              ("tidemark-viewer-test-" + std::to_string(getpid()) + "-" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override {
    std::error_code ignored;  // an X server that is ending may delete its files first
    fs::remove_all(folder_, ignored);
  }

  std::string in_folder(const std::string& name) const { return (folder_ / name).string(); }

  std::string write_training() const {
    const std::string path = in_folder("gpt2.db");
    const auto written = testing::write_trace(testing::training_trace(), path);
    EXPECT_TRUE(written.has_value()) << written.error().message;
    return path;
  }

  // `command` after cd into the folder; "$VIEW" in it is the program.
  Outcome shell(const std::string& command) const {
    const std::string log = in_folder("log");
    const std::string line = "cd '" + folder_.string() + "' && VIEW='" + TIDEMARK_VIEW_PROGRAM +
                             "' && XDG_STATE_HOME='" + folder_.string() +
                             "/state' && XDG_CONFIG_HOME='" + folder_.string() +
                             "/config' && export VIEW XDG_STATE_HOME XDG_CONFIG_HOME && ( " +
                             command + " ) >'" + log + "' 2>&1";
    const int status = std::system(line.c_str());  // NOLINT: the line is this test's own
    std::ostringstream text;
    text << std::ifstream(log).rdbuf();
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text.str()};
  }

  Pixels picture(const std::string& name) const {
    Pixels pixels;
    int channels = 0;
    unsigned char* data =
        stbi_load(in_folder(name).c_str(), &pixels.width, &pixels.height, &channels, 4);
    if (data == nullptr) return pixels;
    const size_t count = static_cast<size_t>(pixels.width) * static_cast<size_t>(pixels.height);
    for (size_t i = 0; i < count; ++i) {
      pixels.colours.push_back({data[i * 4], data[i * 4 + 1], data[i * 4 + 2], data[i * 4 + 3]});
    }
    stbi_image_free(data);
    return pixels;
  }

 private:
  fs::path folder_;
};

size_t lines(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST_F(viewer_program, screenshot_has_the_size_asked_for_and_shows_the_curves) {
  write_training();
  for (const auto& [theme, name] : {std::pair(Theme::kDark, "dark"), {Theme::kLight, "light"}}) {
    const Outcome outcome = shell(std::string("env -u DISPLAY $VIEW gpt2.db --screenshot out.png "
                                              "--size 1000x700 --theme ") +
                                  name);
    ASSERT_EQ(outcome.status, 0) << outcome.text;
    EXPECT_EQ(outcome.text, "");
    const Pixels pixels = picture("out.png");
    ASSERT_EQ(pixels.width, 1000);
    ASSERT_EQ(pixels.height, 700);
    EXPECT_GT(pixels.count(series_colour(kPool, theme)), 300U);
    EXPECT_GT(pixels.count(palette(theme).panel), 10'000U);
    EXPECT_LT(pixels.count(palette(theme).panel), 690'000U);
  }
  EXPECT_FALSE(fs::exists(in_folder("imgui.ini")));
}

TEST_F(viewer_program, each_panel_can_be_pictured_alone) {
  write_training();
  for (const char* panel : {"all", "timeline", "live", "summary"}) {
    const Outcome outcome =
        shell(std::string("$VIEW gpt2.db --screenshot p.png --size 640x400 --panel ") + panel);
    ASSERT_EQ(outcome.status, 0) << outcome.text;
    EXPECT_GT(picture("p.png").count(series_colour(kPool, Theme::kDark)), 0U) << panel;
  }
  for (const char* panel :
       {"details", "flame", "treemap", "segments", "findings", "whatif", "search", "compare"}) {
    const Outcome outcome =
        shell(std::string("$VIEW gpt2.db --screenshot p.png --size 640x400 --panel ") + panel);
    ASSERT_EQ(outcome.status, 0) << outcome.text;
    EXPECT_EQ(picture("p.png").width, 640) << panel;
  }
}

TEST_F(viewer_program, one_command_pictures_every_panel) {
  write_training();
  const Outcome outcome =
      shell("$VIEW gpt2.db --compare gpt2.db --screenshots pictures --size 900x700");
  ASSERT_EQ(outcome.status, 0) << outcome.text;
  EXPECT_EQ(outcome.text, "");
  for (const char* name : {"live", "details", "range", "flame", "treemap", "segments", "packed",
                           "findings", "whatif", "search", "compare"}) {
    const Pixels pixels = picture(std::string("pictures/") + name + ".png");
    ASSERT_EQ(pixels.width, 900) << name;
    // The second trace's curve lies over the first's.
    EXPECT_GT(pixels.count(palette(Theme::kDark).compared), 20U) << name;
  }
}

TEST_F(viewer_program, a_picture_of_one_pixel_and_one_of_an_8k_screen_are_made) {
  write_training();
  for (const auto& [size, width] : {std::pair("1x1", 1), {"7680x4320", 7680}}) {
    const Outcome outcome = shell(std::string("$VIEW gpt2.db --screenshot s.png --size ") + size);
    ASSERT_EQ(outcome.status, 0) << outcome.text;
    EXPECT_EQ(picture("s.png").width, width);
  }
}

TEST_F(viewer_program, an_empty_trace_is_shown_as_empty) {
  testing::MemoryTrace empty;
  ASSERT_TRUE(testing::write_trace(empty, in_folder("empty.db")).has_value());
  const Outcome outcome = shell("$VIEW empty.db --screenshot e.png");
  EXPECT_EQ(outcome.status, 0) << outcome.text;
  EXPECT_EQ(picture("e.png").width, 1440);
}

TEST_F(viewer_program, a_trace_without_a_device_is_shown) {
  testing::MemoryTrace host = testing::training_trace();
  std::erase_if(host.allocations,
                [](const trace::Allocation& row) { return row.space != trace::Space::kHost; });
  host.reserved.clear();
  ASSERT_TRUE(testing::write_trace(host, in_folder("host.db")).has_value());
  const Outcome outcome = shell("$VIEW host.db --screenshots host --size 900x700");
  ASSERT_EQ(outcome.status, 0) << outcome.text;
  EXPECT_GT(picture("host/live.png")
                .count(series_colour({trace::Layer::kHeap, trace::Space::kHost, trace::kNoDevice},
                                     Theme::kDark)),
            100U);
}

TEST_F(viewer_program, wrong_use_and_what_is_no_trace_get_one_line_and_status_2) {
  write_training();
  std::ofstream(in_folder("text.db")) << "this is no trace, however long it may be\n";
  for (const char* command :
       {"$VIEW", "$VIEW missing.db", "$VIEW text.db --screenshot a.png", "$VIEW gpt2.db --size 12",
        "$VIEW gpt2.db --size 0x5", "$VIEW gpt2.db --size 99999x9",
        "$VIEW gpt2.db --panel nonsense", "$VIEW gpt2.db --theme blue", "$VIEW gpt2.db --nonsense",
        "$VIEW gpt2.db --screenshot nowhere/a.png", "$VIEW gpt2.db --screenshots text.db",
        "$VIEW gpt2.db --compare missing.db --screenshot a.png",
        "head -c 100000 gpt2.db >cut.db; "
        "$VIEW cut.db --screenshot a.png",
        "cp gpt2.db new.db; printf '\\0\\0\\377\\377' | dd of=new.db bs=1 seek=60 conv=notrunc "
        "2>/dev/null; "
        "$VIEW new.db --screenshot a.png"}) {
    const Outcome outcome = shell(command);
    EXPECT_EQ(outcome.status, 2) << command << ": " << outcome.text;
    EXPECT_EQ(lines(outcome.text), 1U) << command << ": " << outcome.text;
    EXPECT_TRUE(outcome.text.starts_with("tidemark-view: ")) << command << ": " << outcome.text;
  }
  const Outcome help = shell("$VIEW --help");
  EXPECT_EQ(help.status, 0);
  EXPECT_NE(help.text.find("--screenshot"), std::string::npos);
}

TEST_F(viewer_program, without_a_display_it_says_what_to_do_instead) {
  write_training();
  const Outcome outcome = shell("env -u DISPLAY -u WAYLAND_DISPLAY $VIEW gpt2.db");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.text,
            "tidemark-view: no display: use --screenshot PNG, or X11 forwarding (ssh -X)\n");
}

TEST_F(viewer_program, closing_while_it_loads_ends_at_once_and_cleanly) {
  ASSERT_EQ(shell("command -v xvfb-run && command -v xdotool").status, 0)
      << "this test needs a display of its own: install the packages xvfb, xauth and xdotool";
  testing::MemoryTrace large;
  large.processes.emplace_back();
  large.processes[0].id = testing::kTrainer;
  large.processes[0].pid = 1;
  const trace::StackId stack = large.stack({});
  for (int64_t i = 0; i < 1'500'000; ++i) {
    large.free(large.allocate(trace::Layer::kHeap, trace::Space::kHost,
                              64 + static_cast<uint64_t>(i) % 4096, i * 100, stack, "malloc"),
               i * 100 + 50'000);
  }
  large.end_ns = 200'000'000;
  ASSERT_TRUE(testing::write_trace(large, in_folder("large.db")).has_value());
  const Outcome outcome = shell(
      "xvfb-run -a -s '-screen 0 900x700x24' sh -c '\"$VIEW\" large.db --size 800x600 & viewer=$!; "
      "window=$(timeout 60 xdotool search --sync --onlyvisible --name Tidemark: | head -n 1); "
      "xdotool windowfocus \"$window\" key ctrl+q; wait $viewer'");
  EXPECT_EQ(outcome.status, 0) << outcome.text;
}

std::string contents(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

TEST_F(viewer_program, a_window_appears_answers_the_mouse_and_closes_cleanly) {
  ASSERT_EQ(shell("command -v xvfb-run && command -v xdotool").status, 0)
      << "this test needs a display of its own: install the packages xvfb, xauth and xdotool";
  write_training();
  const Colour pool = series_colour(kPool, Theme::kDark);
  std::ostringstream pattern;
  for (const uint8_t channel : {pool.blue, pool.green, pool.red}) {
    pattern << "\\x" << std::hex << std::setw(2) << std::setfill('0') << int{channel};
  }
  const Outcome outcome =
      shell(std::string("xvfb-run -a -s \"-screen 0 1280x800x24 -fbdir $PWD\" '") +
            TIDEMARK_VIEW_WINDOW_SCRIPT + "' \"$VIEW\" gpt2.db \"$PWD/Xvfb_screen0\" '" +
            pattern.str() + "'");
  ASSERT_EQ(outcome.status, 0) << outcome.text;
  const std::string before = contents(in_folder("Xvfb_screen0.before"));
  const std::string after = contents(in_folder("Xvfb_screen0.after"));
  ASSERT_GT(before.size(), size_t{1280} * 800 * 4);
  EXPECT_NE(before, after) << "wheel, drag and click changed nothing on the screen";
  const std::string pixel = {static_cast<char>(pool.blue), static_cast<char>(pool.green),
                             static_cast<char>(pool.red)};
  EXPECT_NE(before.find(pixel), std::string::npos) << "the curve was not drawn";
  EXPECT_NE(after.find(pixel), std::string::npos) << "the curve is gone after zooming";
}

TEST_F(viewer_program, a_window_takes_traces_that_are_dropped_on_it) {
  ASSERT_EQ(shell("command -v xvfb-run && command -v xdotool && /usr/bin/python3 -c 'import Xlib'")
                .status,
            0)
      << "this test needs a display of its own and a source of drag and drop: install the packages "
         "xvfb, xauth, xdotool and python3-xlib";
  write_training();
  for (const char* name : {"second.db", "with space, 100% \u00fcber.db"}) {
    ASSERT_TRUE(testing::write_trace(testing::device_trace(), in_folder(name)).has_value());
  }
  const Outcome outcome = shell(
      std::string("xvfb-run -a -s '-screen 0 900x700x24' /usr/bin/python3 '") +
      TIDEMARK_VIEW_DROP_SCRIPT + "' \"$VIEW\" gpt2.db second.db 'with space, 100% \u00fcber.db'");
  EXPECT_EQ(outcome.status, 0) << outcome.text;
}

TEST_F(viewer_program, a_window_saves_its_picture_and_comes_back_as_it_was_left) {
  ASSERT_EQ(shell("command -v xvfb-run && command -v xdotool").status, 0)
      << "this test needs a display of its own: install the packages xvfb, xauth and xdotool";
  write_training();
  // A key that goes down and up between two frames is none: held for a while, and again until it is
  // seen.
  const Outcome outcome = shell(
      "xvfb-run -a -s '-screen 0 900x700x24' sh -c '"
      "press() { xdotool keydown $1; sleep 0.2; xdotool keyup $1; sleep 0.6; }; "
      "\"$VIEW\" gpt2.db --size 800x600 & viewer=$!; "
      "window=$(timeout 60 xdotool search --sync --onlyvisible --name Tidemark: | head -n 1); "
      "xdotool windowfocus \"$window\"; sleep 1; "
      "for i in $(seq 20); do press t; grep -q \"theme light\" config/tidemark/view && break; "
      "done; "
      "for i in $(seq 20); do press b; grep -q \"packed 1\" config/tidemark/view && break; done; "
      "xdotool keydown ctrl; "
      "for i in $(seq 20); do press g; [ -s gpt2.db.1.png ] && break; done; "
      "xdotool keyup ctrl key ctrl+q; wait $viewer'");
  ASSERT_EQ(outcome.status, 0) << outcome.text;
  const Pixels picture_of_window = picture("gpt2.db.1.png");
  ASSERT_EQ(picture_of_window.width, 800) << outcome.text;
  EXPECT_GT(picture_of_window.count(palette(Theme::kLight).panel), 10'000U);
  const std::string kept = contents(in_folder("config/tidemark/view"));
  EXPECT_NE(kept.find("theme light\n"), std::string::npos) << kept;
  EXPECT_NE(kept.find("packed 1\n"), std::string::npos) << kept;
  EXPECT_NE(kept.find("width 800\n"), std::string::npos) << kept;
  // Pictures are of the default all the same: they must not differ from user to user.
  ASSERT_EQ(shell("$VIEW gpt2.db --screenshot out.png").status, 0);
  EXPECT_EQ(picture("out.png").width, 1440);
  EXPECT_GT(picture("out.png").count(palette(Theme::kDark).panel), 10'000U);
}

}  // namespace
}  // namespace tidemark::viewer
