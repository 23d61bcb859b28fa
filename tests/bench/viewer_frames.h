// What both benchmarks of the viewer need: a Dear ImGui context without a window, the view moved as
// a hand would, and the time that building a frame's draw lists took.
#pragma once

#include <imgui.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

#include "tidemark/viewer/style.h"
#include "tidemark/viewer/view_state.h"

namespace tidemark::viewer {

// Of this thread's own time on a processor, so that a busy machine does not count.
inline double thread_milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// A display of 2560x1440 that nobody sees.
class BenchDisplay {
 public:
  BenchDisplay() : context_(ImGui::CreateContext()) {
    ImGuiIO& io = ImGui::GetIO();
    io.IniFilename = nullptr;
    io.DisplaySize = {2560, 1440};
    io.DeltaTime = 1.0F / 60.0F;
    io.BackendFlags |= ImGuiBackendFlags_RendererHasVtxOffset;
    fonts = load_fonts(1.0F);
    apply_style(Theme::kDark, 1.0F);
    unsigned char* pixels = nullptr;
    int width = 0;
    int height = 0;
    io.Fonts->GetTexDataAsRGBA32(&pixels, &width, &height);
  }
  ~BenchDisplay() { ImGui::DestroyContext(context_); }
  BenchDisplay(const BenchDisplay&) = delete;
  BenchDisplay& operator=(const BenchDisplay&) = delete;

 private:
  ImGuiContext* context_;

 public:
  Fonts fonts;
};

// In to a thousandth and out again, panning all the while.
inline void zoom_and_pan(ViewState* state, int frame) {
  state->axis.zoom_about(700 + frame % 400, frame % 128 < 64 ? 1.11 : 1 / 1.11);
  state->axis.pan_by(frame % 32 < 16 ? 9 : -9);
}

struct FrameTimes {
  double median_ms = 0;
  double p99_ms = 0;
  double most_ms = 0;
};
// Of one frame at least.
inline FrameTimes frame_times(std::vector<double> milliseconds) {
  std::sort(milliseconds.begin(), milliseconds.end());
  return {milliseconds[milliseconds.size() / 2], milliseconds[milliseconds.size() * 99 / 100],
          milliseconds.back()};
}

}  // namespace tidemark::viewer
