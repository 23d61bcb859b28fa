// One workspace over a trace in memory, and the hands on it: input is put into Dear ImGui as a
// backend would, without a window or OpenGL; what the panels did is read from the state they share,
// from what they drew and from the text that they showed.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tidemark/analyzer/live.h"
#include "tidemark/viewer/input.h"
#include "tidemark/viewer/workspace.h"
#include "viewer_fixtures.h"

namespace tidemark::viewer::testing {

inline Document load(const trace::Reader& reader) {
  auto document = load_document(reader);
  EXPECT_TRUE(document.has_value());
  return std::move(*document);
}

inline Loader::Open opener(MemoryTrace trace) {
  return [shared = std::make_shared<const MemoryTrace>(
              std::move(trace))]() -> Result<std::unique_ptr<trace::Reader>> {
    return std::make_unique<MemoryReader>(shared);
  };
}
inline Loader::Open opener(const char* path) {
  return [path] { return trace::Reader::open(path); };
}

// One workspace and the hands on it.
class Ui {
 public:
  explicit Ui(MemoryTrace trace, PanelName panel = PanelName::kAll, ImVec2 size = {1280, 900})
      : Ui(opener(std::move(trace)), panel, size) {}
  explicit Ui(const Loader::Open& open, PanelName panel = PanelName::kAll,
              ImVec2 size = {1280, 900})
      : reader_(std::move(*open())),
        context_(ImGui::CreateContext()),
        document(load(*reader_)),
        state(document),
        live(open, analyzer::live_at),
        activity(*load_activity(*reader_)),
        insight(find_insight(*reader_, document)),
        questions(open, [this] { return pieces(); }),
        workspace(panel) {
    ImGuiIO& io = ImGui::GetIO();
    io.IniFilename = nullptr;
    io.DisplaySize = size;
    io.BackendFlags |= ImGuiBackendFlags_RendererHasVtxOffset;
    io.SetClipboardTextFn = [](void*, const char* text) { io_log() += text; };
    fonts_ = load_fonts(1.0F);
    apply_style(Theme::kDark, 1.0F);
    unsigned char* pixels = nullptr;
    int width = 0;
    int height = 0;
    io.Fonts->GetTexDataAsRGBA32(&pixels, &width, &height);
    frames(3);
  }
  ~Ui() { ImGui::DestroyContext(context_); }
  Ui(const Ui&) = delete;
  Ui& operator=(const Ui&) = delete;

  void frame() {
    ImGui::GetIO().DeltaTime = 1.0F / 60.0F;
    ImGui::NewFrame();
    io_log().clear();
    ImGui::LogToClipboard();  // what is shown comes out as text
    workspace.draw({document,
                    state,
                    live,
                    fonts_,
                    &activity,
                    &insight,
                    &questions,
                    comparison.get(),
                    {},
                    differences});
    ImGui::LogFinish();
    ImGui::Render();
    live.wait();
    questions.wait();
  }
  void frames(int count) {
    for (int i = 0; i < count; ++i) frame();
  }
  // The text of the widgets of the last frame.
  static const std::string& shown() { return io_log(); }
  static bool shows(std::string_view text) { return shown().find(text) != std::string::npos; }
  // With the mouse elsewhere, so that no tooltip ends the text early.
  void look() {
    move({-1000, -1000});
    frames(3);
  }
  void modifiers(bool shift, bool ctrl = false, bool alt = false) {
    ImGuiIO& io = ImGui::GetIO();
    io.KeyShift = shift;
    io.KeyCtrl = ctrl;
    io.KeyAlt = alt;
  }
  void type(const char* text) {
    ImGui::GetIO().AddInputCharactersUTF8(text);
    frame();
  }
  // Down at one place, up at another, in small steps between.
  void drag(ImVec2 from, ImVec2 to) {
    pause();
    move(from);
    button(true);
    for (int i = 1; i <= 10; ++i) {
      const float share = static_cast<float>(i) / 10.0F;
      move({from.x + (to.x - from.x) * share, from.y + (to.y - from.y) * share});
    }
    button(false);
  }
  const TimelinePanel::Box* row(TrackKind kind) const {
    for (const auto& entry : timeline().rows()) {
      if (entry.track.kind == kind) return &entry.box;
    }
    return nullptr;
  }
  Loaded pieces() const {
    const auto alias = [](const auto& piece) {
      return std::shared_ptr<std::remove_reference_t<decltype(piece)>>(std::shared_ptr<void>(),
                                                                       &piece);
    };
    return {alias(document), alias(activity), alias(insight), {}, false, {}};
  }
  // Long enough that the next press is no double click.
  void pause() { frames(40); }

  void move(ImVec2 at) {
#if IMGUI_VERSION_NUM >= 18700
    ImGui::GetIO().AddMousePosEvent(at.x, at.y);
#else
    ImGui::GetIO().MousePos = at;
#endif
    frame();
  }
  void button(bool down, int which = 0) {
#if IMGUI_VERSION_NUM >= 18700
    ImGui::GetIO().AddMouseButtonEvent(which, down);
#else
    ImGui::GetIO().MouseDown[which] = down;
#endif
    frame();
  }
  void wheel(float by) {
#if IMGUI_VERSION_NUM >= 18700
    ImGui::GetIO().AddMouseWheelEvent(0, by);
#else
    ImGui::GetIO().MouseWheel = by;
#endif
    frame();
  }
  void key(KeyCode code, bool down) {
#if IMGUI_VERSION_NUM >= 18700
    ImGui::GetIO().AddKeyEvent(code, down);
#else
    ImGui::GetIO().KeysDown[code] = down;
#endif
    frame();
  }
  void press(KeyCode code) {
    key(code, true);
    key(code, false);
  }
  void click(ImVec2 at, int which = 0) {
    pause();
    move(at);
    button(true, which);
    button(false, which);
  }
  // Ctrl-K, then the letters of its name.
  void command(const char* letters) {
    modifiers(false, true);
    press(kKeyK);
    modifiers(false);
    frames(3);
    type(letters);
    press(kKeyEnter);
    frames(2);
  }
  const trace::Reader& reader() const { return *reader_; }
  float font_size() const { return fonts_.regular->FontSize; }

  const TimelinePanel& timeline() const { return workspace.timeline(); }
  float plot_x(double share) const {
    return timeline().plot().min.x +
           std::floor(static_cast<float>(share) * timeline().plot().width());
  }
  float track_y(size_t track) const {
    const auto& box = timeline().tracks().at(track);
    return (box.min.y + box.max.y) / 2;
  }
  double moment_at(float x) const { return state.axis.to_ns(x - timeline().plot().min.x); }

  // Vertices of exactly this colour inside `box`.
  size_t drawn(Colour colour, const TimelinePanel::Box& box) const {
    size_t count = 0;
    const ImDrawData* data = ImGui::GetDrawData();
    for (int i = 0; i < data->CmdListsCount; ++i) {
      for (const ImDrawVert& v : data->CmdLists[i]->VtxBuffer) {
        if (v.col == to_u32(colour) && v.pos.x >= box.min.x - 2 && v.pos.x <= box.max.x + 2 &&
            v.pos.y >= box.min.y - 2 && v.pos.y <= box.max.y + 2) {
          ++count;
        }
      }
    }
    return count;
  }

 private:
  static std::string& io_log() {
    static std::string text;
    return text;
  }

  std::unique_ptr<trace::Reader> reader_;
  ImGuiContext* context_;
  Fonts fonts_;

 public:
  const Document document;
  ViewState state;
  LiveWorker live;
  const Activity activity;
  const Insight insight;
  Questions questions;
  // Of a second trace; none.
  std::shared_ptr<const Comparison> comparison;
  DifferencesAnswer differences;
  Workspace workspace;
};

}  // namespace tidemark::viewer::testing
