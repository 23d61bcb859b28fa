// The program on a surface of the test's own: what it does with dropped files, a monitor's scale,
// the open dialog and a trace that is still being recorded, without a display or OpenGL.
#include <gtest/gtest.h>
#include <imgui.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "app.h"
#include "imgui_scope.h"
#include "session.h"
#include "tidemark/viewer/input.h"
#include "viewer_fixtures.h"

namespace tidemark::viewer {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

// What the text of the last frame's first window was; Dear ImGui's callback has no place for it.
std::string& shown() {
  static std::string text;
  return text;
}
bool shows(std::string_view text) { return shown().find(text) != std::string::npos; }

// What is live in device_trace() at its peak.
bool shows_device_trace() { return shows("320 MiB") && shows("2 blocks"); }

// Asks `step` before each frame what the user does: false closes it.
class ScriptedSurface final : public Surface {
 public:
  struct Hands {
    std::string dropped;
    std::string title;
    float scale = 1;
    size_t frame = 0;
    float font_pixels = 0;  // of the last frame
    bool left_at_once = false;
  };
  using Step = std::function<bool(Hands*)>;
  ScriptedSurface(Hands* hands, Step step) : hands_(hands), step_(std::move(step)) {
    ImGuiIO& io = ImGui::GetIO();
    io.DisplaySize = {1200, 800};
    io.BackendFlags |= ImGuiBackendFlags_RendererHasVtxOffset;
    io.SetClipboardTextFn = [](void*, const char* text) { shown() += text; };
    shown().clear();  // nothing is left of a surface before this one
  }

  float scale() const override { return hands_->scale; }
  bool wait() override {
    std::this_thread::sleep_for(milliseconds(2));  // readers work meanwhile
    ++hands_->frame;
    return step_(hands_);
  }
  void begin_frame() override {
    ImGuiIO& io = ImGui::GetIO();
    unsigned char* pixels = nullptr;
    int width = 0;
    int height = 0;
    io.Fonts->GetTexDataAsRGBA32(&pixels, &width, &height);
    io.DeltaTime = 1.0F / 60.0F;
    ImGui::NewFrame();
    shown().clear();
    ImGui::LogToClipboard();
  }
  void end_frame(Colour) override {
    ImGui::LogFinish();
    hands_->font_pixels = ImGui::GetIO().Fonts->Fonts[0]->FontSize;
    ImGui::Render();
  }
  void fonts_changed() override {}
  void set_title(const std::string& title) override { hands_->title = title; }
  std::string take_dropped() override { return std::exchange(hands_->dropped, {}); }
  Size size() const override { return {1200, 800}; }
  Result<Image> read_back() override { return fail("it has no pixels"); }

 private:
  Hands* hands_;
  Step step_;
};

class viewer_session : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              ("tidemark-session-" + std::to_string(getpid()) + "-" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string write(const testing::MemoryTrace& trace, const std::string& name) const {
    const auto written = testing::write_trace(trace, file(name));
    EXPECT_TRUE(written.has_value()) << written.error().message;
    return file(name);
  }
  // Gives up, and closes, after many more frames than anything here takes.
  Result<void> run(const std::string& path, const ScriptedSurface::Step& step,
                   ScriptedSurface::Hands* hands) const {
    const ImGuiScope imgui;
    SettingsFile settings(file("settings"));
    Options options;
    options.trace = path;
    const auto limited = [&](ScriptedSurface::Hands* at) {
      if (at->frame < kMostFrames) return step(at);
      ADD_FAILURE() << "what was waited for did not come; last shown:\n" << shown();
      return false;
    };
    return show(options, std::make_unique<ScriptedSurface>(hands, limited), &settings,
                [hands] { hands->left_at_once = true; });
  }

 private:
  static constexpr size_t kMostFrames = 20'000;
  fs::path folder_;
};

TEST_F(viewer_session, a_dropped_trace_takes_the_place_of_the_one_shown) {
  const std::string first = write(testing::training_trace(), "first.db");
  const std::string second = write(testing::device_trace(), "second.db");
  ScriptedSurface::Hands hands;
  bool first_seen = false;
  const auto done = run(
      first,
      [&](ScriptedSurface::Hands* at) {
        if (!first_seen && shows("Live in") && !shows_device_trace()) {
          first_seen = true;
          EXPECT_EQ(at->title, "Tidemark: first.db");
          at->dropped = second;
        }
        return !(first_seen && shows_device_trace());
      },
      &hands);
  EXPECT_TRUE(done.has_value());
  EXPECT_TRUE(first_seen);
  EXPECT_EQ(hands.title, "Tidemark: second.db");
}

TEST_F(viewer_session, a_dropped_file_that_is_no_trace_changes_nothing) {
  const std::string first = write(testing::device_trace(), "first.db");
  ScriptedSurface::Hands hands;
  size_t dropped_at = 0;
  const auto done = run(
      first,
      [&](ScriptedSurface::Hands* at) {
        if (dropped_at == 0 && shows_device_trace()) {
          at->dropped = "/etc/hostname";
          dropped_at = at->frame;
        }
        return dropped_at == 0 || at->frame < dropped_at + 20;
      },
      &hands);
  EXPECT_TRUE(done.has_value());
  EXPECT_TRUE(shows_device_trace()) << shown();
}

// Keys and text of one frame each, so many frames after they are begun with.
class Typist {
 public:
  void press(size_t frame, KeyCode key, bool ctrl = false) {
    if (frame == at_) ImGui::GetIO().KeyCtrl = ctrl;
    if (frame == at_) hold(key, true);
    if (frame + 1 == at_) hold(key, false);
    if (frame + 1 == at_) ImGui::GetIO().KeyCtrl = false;
  }
  void type(size_t frame, const std::string& text) {
    if (frame == at_) ImGui::GetIO().AddInputCharactersUTF8(text.c_str());
  }
  // The next frame.
  void go_on() { ++at_; }

 private:
  static void hold(KeyCode key, bool down) {
#if IMGUI_VERSION_NUM >= 18700
    ImGui::GetIO().AddKeyEvent(key, down);
#else
    ImGui::GetIO().KeysDown[key] = down;
#endif
  }
  size_t at_ = 0;
};

TEST_F(viewer_session, the_open_dialog_opens_what_is_typed) {
  const std::string first = write(testing::training_trace(), "first.db");
  const std::string second = write(testing::device_trace(), "second.db");
  ScriptedSurface::Hands hands;
  Typist typist;
  bool began = false;
  const auto done = run(
      first,
      [&](ScriptedSurface::Hands*) {
        EXPECT_TRUE(began || !shows_device_trace());
        began = began || shows("Live in");
        if (!began) return true;
        typist.press(0, kKeyO, true);
        typist.type(6, second);
        typist.press(9, kKeyEnter);
        typist.go_on();
        return !shows_device_trace();
      },
      &hands);
  EXPECT_TRUE(done.has_value());
  EXPECT_TRUE(began);
}

TEST_F(viewer_session, one_rank_is_shown_alone_and_all_again) {
  const std::string path = write(testing::two_ranks_trace(), "ranks.db");
  ScriptedSurface::Hands hands;
  Typist one;
  Typist all;
  bool began = false;
  bool alone = false;
  const auto done = run(
      path,
      [&](ScriptedSurface::Hands*) {
        began = began || shows("96.0 MiB");
        if (!began) return true;
        one.press(0, kKeyK, true);
        one.type(4, "only rank 1");
        one.press(7, kKeyEnter);
        one.go_on();
        alone = alone || (shows("32.0 MiB") && !shows("96.0 MiB") && shows("1 block"));
        if (!alone) return true;
        all.press(0, kKeyK, true);
        all.type(4, "all processes");
        all.press(7, kKeyEnter);
        all.go_on();
        return !shows("96.0 MiB");
      },
      &hands);
  EXPECT_TRUE(done.has_value());
  EXPECT_TRUE(alone);
}

TEST_F(viewer_session, text_is_as_large_as_the_monitor_is_fine) {
  const std::string path = write(testing::device_trace(), "a.db");
  const auto pixels_at = [&](float scale) {
    ScriptedSurface::Hands hands;
    hands.scale = scale;
    EXPECT_TRUE(run(
        path, [](ScriptedSurface::Hands*) { return !shows_device_trace(); }, &hands));
    return hands.font_pixels;
  };
  const float usual = pixels_at(1);
  EXPECT_NEAR(pixels_at(2), usual * 2, 1);
}

TEST_F(viewer_session, closing_at_once_is_clean) {
  const std::string path = write(testing::training_trace(), "a.db");
  ScriptedSurface::Hands hands;
  const auto done = run(
      path, [](ScriptedSurface::Hands* at) { return at->frame < 2; }, &hands);
  EXPECT_TRUE(done.has_value());
  EXPECT_EQ(hands.frame, 2U);
}

// `tidemark record` of a program that takes a MiB at a time and keeps it.
pid_t start_recording(const std::string& trace) {
  const pid_t child = fork();
  if (child != 0) return child;
  constexpr const char* kProgram =
      "import time\n"
      "kept = []\n"
      "for i in range(60):\n"
      "    kept.append(bytearray(1 << 20))\n"
      "    time.sleep(0.1)\n";
  execl(TIDEMARK_PROGRAM, "tidemark", "record", "-o", trace.c_str(), "--", "python3", "-c",
        kProgram, nullptr);
  _exit(127);
}

TEST_F(viewer_session, a_recording_is_followed_until_it_ends) {
  const std::string path = file("live.db");
  const pid_t recording = start_recording(path);
  ASSERT_GT(recording, 0);
  // The file is there, with something in it, before anybody opens it.
  const auto allocations_in = [](const std::string& trace) -> uint64_t {
    const auto reader = trace::Reader::open(trace);
    if (!reader) return 0;
    const auto document = load_document(**reader);
    return document ? document->summary.allocations : 0;
  };
  for (int i = 0; i < 1000 && (!fs::exists(path) || allocations_in(path) == 0); ++i) {
    std::this_thread::sleep_for(milliseconds(20));
  }

  const ImGuiScope imgui;
  ScriptedSurface::Hands hands;
  ScriptedSurface surface(&hands, [](ScriptedSurface::Hands*) { return true; });
  const Fonts fonts = load_fonts(1);
  apply_style(Theme::kDark, 1);
  Options options;
  options.trace = path;
  Session session(options, {});
  std::vector<uint64_t> seen;      // while it was being recorded
  std::vector<int64_t> last_ends;  // of the axis at those times
  bool finished = false;
  for (int i = 0; i < 20'000 && !finished; ++i) {
    surface.begin_frame();
    const auto drawn = session.draw(fonts);
    surface.end_frame({});
    ASSERT_TRUE(drawn.has_value()) << drawn.error().message;
    std::this_thread::sleep_for(milliseconds(5));
    const auto& document = session.loaded().document;
    if (document == nullptr || session.loaded().partial) continue;
    finished = document->summary.finished;
    if (finished || (!seen.empty() && seen.back() == document->summary.allocations)) continue;
    seen.push_back(document->summary.allocations);
    last_ends.push_back(document->end_ns);
  }
  int status = 0;
  ASSERT_EQ(waitpid(recording, &status, 0), recording);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  ASSERT_TRUE(finished) << "the end of the recording was not seen";
  ASSERT_GE(seen.size(), 2U) << "nothing of the growth was seen";
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_TRUE(std::is_sorted(last_ends.begin(), last_ends.end()));
  EXPECT_EQ(session.loaded().document->summary.allocations, allocations_in(path));
  EXPECT_GE(session.loaded().document->summary.allocations, seen.back());
  const auto heap = analyzer::Series{trace::Layer::kHeap, trace::Space::kHost, trace::kNoDevice};
  const Track* track = session.loaded().document->find(heap);
  ASSERT_NE(track, nullptr);
  EXPECT_GE(track->curve.peak_bytes, int64_t{60} << 20);
  EXPECT_TRUE(session.state()->axis.shows_all()) << "all that there was in view, and is";
}

}  // namespace
}  // namespace tidemark::viewer
