#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>
#include <backends/imgui_impl_glfw.h>
#include <backends/imgui_impl_opengl3.h>
#include <imgui.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "surface.h"
#include "tidemark/viewer/input.h"

namespace tidemark::viewer {
namespace {

// Dear ImGui needs a few frames until hover, layout and popups have settled after an event.
constexpr int kFramesAfterEvent = 3;
constexpr double kIdleSeconds = 0.5;

// OpenGL 1.1 entry points come from the context: nothing links libGL.
using ClearColourFn = void (*)(float, float, float, float);
using ClearFn = void (*)(unsigned);
using ViewportFn = void (*)(int, int, int, int);
using ReadPixelsFn = void (*)(int, int, int, int, unsigned, unsigned, void*);
constexpr unsigned kColourBufferBit = 0x4000;
constexpr unsigned kRgba = 0x1908;
constexpr unsigned kUnsignedByte = 0x1401;

// A worker may wake the window just as it goes away.
std::mutex window_mutex;
bool window_is_open = false;

void set_window_open(bool open) {
  const std::lock_guard lock(window_mutex);
  window_is_open = open;
}

std::string& last_error() {
  static std::string error;
  return error;
}

std::string& dropped_file() {
  static std::string path;
  return path;
}

class Window final : public Surface {
 public:
  explicit Window(GLFWwindow* window)
      : window_(window),
        clear_colour_(reinterpret_cast<ClearColourFn>(glfwGetProcAddress("glClearColor"))),
        clear_(reinterpret_cast<ClearFn>(glfwGetProcAddress("glClear"))),
        viewport_(reinterpret_cast<ViewportFn>(glfwGetProcAddress("glViewport"))),
        read_pixels_(reinterpret_cast<ReadPixelsFn>(glfwGetProcAddress("glReadPixels"))) {}

  bool start_backends() {
    // Before Dear ImGui's, which calls it in turn. Not through Dear ImGui's own key state, because
    // that of 1.86 misses a key that goes down and up between two frames.
    glfwSetKeyCallback(window_, [](GLFWwindow* window, int key, int, int action, int modifiers) {
      if (key == GLFW_KEY_Q && action == GLFW_PRESS && (modifiers & GLFW_MOD_CONTROL) != 0) {
        glfwSetWindowShouldClose(window, GLFW_TRUE);
      }
    });
    glfwSetDropCallback(window_, [](GLFWwindow*, int count, const char** paths) {
      if (count > 0) dropped_file() = paths[0];
    });
    glfw_started_ = ImGui_ImplGlfw_InitForOpenGL(window_, true);
    opengl_started_ = glfw_started_ && ImGui_ImplOpenGL3_Init("#version 130");
    return opengl_started_;
  }

  ~Window() override {
    set_window_open(false);
    if (opengl_started_) ImGui_ImplOpenGL3_Shutdown();
    if (glfw_started_) ImGui_ImplGlfw_Shutdown();
    glfwDestroyWindow(window_);
    glfwTerminate();
  }

  float scale() const override {
    float x = 1.0F;
    float y = 1.0F;
    glfwGetWindowContentScale(window_, &x, &y);
    return std::clamp(std::max(x, y), 0.75F, 4.0F);
  }

  bool wait() override {
    if (frames_due_ > 0) {
      --frames_due_;
      glfwPollEvents();
    } else {
      const double before = glfwGetTime();
      glfwWaitEventsTimeout(kIdleSeconds);
      if (glfwGetTime() - before < kIdleSeconds * 0.95) frames_due_ = kFramesAfterEvent;
    }
    // A held key or button sends no events, yet moves the picture.
    if (any_key_held() || ImGui::IsAnyMouseDown()) frames_due_ = kFramesAfterEvent;
    return glfwWindowShouldClose(window_) == 0;
  }

  void begin_frame() override {
    ImGui_ImplOpenGL3_NewFrame();
    ImGui_ImplGlfw_NewFrame();
    ImGui::NewFrame();
  }

  void end_frame(Colour background) override {
    ImGui::Render();
    int width = 0;
    int height = 0;
    glfwGetFramebufferSize(window_, &width, &height);
    viewport_(0, 0, width, height);
    clear_colour_(static_cast<float>(background.red) / 255.0F,
                  static_cast<float>(background.green) / 255.0F,
                  static_cast<float>(background.blue) / 255.0F, 1.0F);
    clear_(kColourBufferBit);
    ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
    if (std::exchange(keep_, false)) keep({width, height});
    glfwSwapBuffers(window_);
  }

  void set_title(const std::string& title) override { glfwSetWindowTitle(window_, title.c_str()); }

  void fonts_changed() override {
    ImGui_ImplOpenGL3_DestroyFontsTexture();
    ImGui_ImplOpenGL3_CreateFontsTexture();
  }

  Size size() const override {
    Size size;
    glfwGetWindowSize(window_, &size.width, &size.height);
    return size;
  }

  void keep_next_frame() override { keep_ = true; }

  std::string take_dropped() override { return std::exchange(dropped_file(), {}); }

  Result<Image> read_back() override {
    if (kept_.rgba.empty()) return fail("there is no picture of the window yet: try again");
    return std::move(kept_);
  }

 private:
  // What was drawn and is not shown yet. OpenGL's rows go up from the lowest.
  void keep(Size size) {
    const auto row = static_cast<size_t>(size.width) * 4;
    std::vector<uint8_t> pixels(row * static_cast<size_t>(size.height));
    read_pixels_(0, 0, size.width, size.height, kRgba, kUnsignedByte, pixels.data());
    kept_.size = size;
    kept_.rgba.resize(pixels.size());
    for (size_t y = 0; y < static_cast<size_t>(size.height); ++y) {
      const size_t from = (static_cast<size_t>(size.height) - 1 - y) * row;
      std::copy_n(pixels.begin() + static_cast<std::ptrdiff_t>(from), row,
                  kept_.rgba.begin() + static_cast<std::ptrdiff_t>(y * row));
    }
    for (size_t i = 3; i < kept_.rgba.size(); i += 4) kept_.rgba[i] = 255;
  }

  GLFWwindow* window_;
  ClearColourFn clear_colour_;
  ClearFn clear_;
  ViewportFn viewport_;
  ReadPixelsFn read_pixels_;
  bool keep_ = false;
  Image kept_;
  bool glfw_started_ = false;
  bool opengl_started_ = false;
  int frames_due_ = kFramesAfterEvent;
};

}  // namespace

Result<std::unique_ptr<Surface>> open_window(Size size, bool scaled) {
  glfwSetErrorCallback([](int, const char* text) { last_error() = text; });
  if (glfwInit() == GLFW_FALSE) {
    return fail("no display: use --screenshot PNG, or X11 forwarding (ssh -X)");
  }
  glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
  glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 0);
  glfwWindowHint(GLFW_SCALE_TO_MONITOR, scaled ? GLFW_TRUE : GLFW_FALSE);
  GLFWwindow* window = glfwCreateWindow(size.width, size.height, "Tidemark", nullptr, nullptr);
  if (window == nullptr) {
    const std::string why = last_error();
    glfwTerminate();
    return fail("the display offers no OpenGL 3.0 (" + why + "): use --screenshot PNG");
  }
  glfwMakeContextCurrent(window);
  glfwSwapInterval(1);
  auto surface = std::make_unique<Window>(window);
  if (!surface->start_backends()) {
    return fail("OpenGL could not be started: install libGL.so.1 (package libgl1)");
  }
  set_window_open(true);
  return surface;
}

void wake_window() {
  const std::lock_guard lock(window_mutex);
  if (window_is_open) glfwPostEmptyEvent();
}

}  // namespace tidemark::viewer
