#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GL/gl.h>
#include <GL/glext.h>
#include <backends/imgui_impl_opengl3.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <imgui.h>

#include <array>
#include <cstring>

#include "surface.h"

namespace tidemark::viewer {
namespace {

// What is used of EGL, from libEGL.so.1 at run time, so that the program starts without it.
struct Egl {
  decltype(&eglGetProcAddress) get_proc_address = nullptr;
  decltype(&eglQueryString) query_string = nullptr;
  decltype(&eglGetDisplay) get_display = nullptr;
  decltype(&eglInitialize) initialize = nullptr;
  decltype(&eglTerminate) terminate = nullptr;
  decltype(&eglBindAPI) bind_api = nullptr;
  decltype(&eglChooseConfig) choose_config = nullptr;
  decltype(&eglCreateContext) create_context = nullptr;
  decltype(&eglDestroyContext) destroy_context = nullptr;
  decltype(&eglCreatePbufferSurface) create_pbuffer = nullptr;
  decltype(&eglMakeCurrent) make_current = nullptr;

  bool load() {
    void* library = dlopen("libEGL.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return false;
    bool all = true;
    const auto get = [&](auto* slot, const char* name) {
      *slot = reinterpret_cast<std::remove_pointer_t<decltype(slot)>>(dlsym(library, name));
      all = all && *slot != nullptr;
    };
    get(&get_proc_address, "eglGetProcAddress");
    get(&query_string, "eglQueryString");
    get(&get_display, "eglGetDisplay");
    get(&initialize, "eglInitialize");
    get(&terminate, "eglTerminate");
    get(&bind_api, "eglBindAPI");
    get(&choose_config, "eglChooseConfig");
    get(&create_context, "eglCreateContext");
    get(&destroy_context, "eglDestroyContext");
    get(&create_pbuffer, "eglCreatePbufferSurface");
    get(&make_current, "eglMakeCurrent");
    return all;
  }
};

struct Gl {
  PFNGLGENFRAMEBUFFERSPROC gen_framebuffers = nullptr;
  PFNGLBINDFRAMEBUFFERPROC bind_framebuffer = nullptr;
  PFNGLGENRENDERBUFFERSPROC gen_renderbuffers = nullptr;
  PFNGLBINDRENDERBUFFERPROC bind_renderbuffer = nullptr;
  PFNGLRENDERBUFFERSTORAGEPROC renderbuffer_storage = nullptr;
  PFNGLFRAMEBUFFERRENDERBUFFERPROC framebuffer_renderbuffer = nullptr;
  PFNGLCHECKFRAMEBUFFERSTATUSPROC check_framebuffer = nullptr;
  decltype(&glViewport) viewport = nullptr;
  decltype(&glClearColor) clear_colour = nullptr;
  decltype(&glClear) clear = nullptr;
  decltype(&glReadPixels) read_pixels = nullptr;
  decltype(&glPixelStorei) pixel_store = nullptr;
  decltype(&glGetIntegerv) get_integer = nullptr;

  bool load(const Egl& egl) {
    bool all = true;
    const auto get = [&](auto* slot, const char* name) {
      *slot = reinterpret_cast<std::remove_pointer_t<decltype(slot)>>(egl.get_proc_address(name));
      all = all && *slot != nullptr;
    };
    get(&gen_framebuffers, "glGenFramebuffers");
    get(&bind_framebuffer, "glBindFramebuffer");
    get(&gen_renderbuffers, "glGenRenderbuffers");
    get(&bind_renderbuffer, "glBindRenderbuffer");
    get(&renderbuffer_storage, "glRenderbufferStorage");
    get(&framebuffer_renderbuffer, "glFramebufferRenderbuffer");
    get(&check_framebuffer, "glCheckFramebufferStatus");
    get(&viewport, "glViewport");
    get(&clear_colour, "glClearColor");
    get(&clear, "glClear");
    get(&read_pixels, "glReadPixels");
    get(&pixel_store, "glPixelStorei");
    get(&get_integer, "glGetIntegerv");
    return all;
  }
};

class Offscreen final : public Surface {
 public:
  explicit Offscreen(Size size) : size_(size) {}

  ~Offscreen() override {
    if (renderer_started_) ImGui_ImplOpenGL3_Shutdown();
    if (display_ == EGL_NO_DISPLAY) return;
    egl_.make_current(display_, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
    if (context_ != EGL_NO_CONTEXT) egl_.destroy_context(display_, context_);
    egl_.terminate(display_);  // takes the framebuffer and the pbuffer with it
  }

  Result<void> start() {
    if (!egl_.load()) {
      return fail("no EGL: --screenshot needs libEGL.so.1 (packages libegl1 and libgl1-mesa-dri)");
    }
    if (!open_display()) {
      return fail("EGL offers no OpenGL 3: install a driver or Mesa's (package libgl1-mesa-dri)");
    }
    if (!gl_.load(egl_)) return fail("EGL offers no framebuffer objects: install a newer driver");
    if (auto made = make_framebuffer(); !made) return made;
    // The renderer's own loader wants this one; it says nothing when it is absent.
    if (dlopen("libGL.so.1", RTLD_LAZY | RTLD_LOCAL) == nullptr) {
      return fail("no OpenGL: --screenshot needs libGL.so.1 (package libgl1)");
    }
    renderer_started_ = ImGui_ImplOpenGL3_Init("#version 130");
    if (!renderer_started_) return fail("OpenGL 3 could not be started through EGL");
    return {};
  }

  float scale() const override { return 1.0F; }
  Size size() const override { return size_; }
  bool wait() override { return true; }

  void begin_frame() override {
    ImGuiIO& io = ImGui::GetIO();
    io.DisplaySize = {static_cast<float>(size_.width), static_cast<float>(size_.height)};
    io.DeltaTime = 1.0F / 60.0F;
    ImGui_ImplOpenGL3_NewFrame();
    ImGui::NewFrame();
  }

  void end_frame(Colour background) override {
    ImGui::Render();
    gl_.viewport(0, 0, size_.width, size_.height);
    gl_.clear_colour(static_cast<float>(background.red) / 255.0F,
                     static_cast<float>(background.green) / 255.0F,
                     static_cast<float>(background.blue) / 255.0F, 1.0F);
    gl_.clear(GL_COLOR_BUFFER_BIT);
    ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
  }

  void fonts_changed() override {
    ImGui_ImplOpenGL3_DestroyFontsTexture();
    ImGui_ImplOpenGL3_CreateFontsTexture();
  }

  Result<Image> read_back() override {
    const size_t row = static_cast<size_t>(size_.width) * 4;
    const size_t rows = static_cast<size_t>(size_.height);
    std::vector<uint8_t> bottom_up(row * rows);
    gl_.pixel_store(GL_PACK_ALIGNMENT, 1);
    gl_.read_pixels(0, 0, size_.width, size_.height, GL_RGBA, GL_UNSIGNED_BYTE, bottom_up.data());
    Image image{size_, std::vector<uint8_t>(row * rows)};
    for (size_t y = 0; y < rows; ++y) {
      std::memcpy(&image.rgba[y * row], &bottom_up[(rows - 1 - y) * row], row);
    }
    // Blending leaves alpha behind that a picture on a page must not have.
    for (size_t i = 3; i < image.rgba.size(); i += 4) image.rgba[i] = 255;
    return image;
  }

 private:
  // Mesa without any display first (software if need be), then a GPU's own device, then what the
  // environment has.
  bool open_display() {
    const char* known = egl_.query_string(EGL_NO_DISPLAY, EGL_EXTENSIONS);
    const std::string extensions = known == nullptr ? "" : known;
    const auto platform = reinterpret_cast<PFNEGLGETPLATFORMDISPLAYEXTPROC>(
        egl_.get_proc_address("eglGetPlatformDisplayEXT"));
    if (platform != nullptr && extensions.find("surfaceless") != std::string::npos &&
        use(platform(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, nullptr))) {
      return true;
    }
    const auto devices =
        reinterpret_cast<PFNEGLQUERYDEVICESEXTPROC>(egl_.get_proc_address("eglQueryDevicesEXT"));
    if (platform != nullptr && devices != nullptr) {
      std::array<EGLDeviceEXT, 16> found{};
      EGLint count = 0;
      if (devices(static_cast<EGLint>(found.size()), found.data(), &count) == EGL_TRUE) {
        for (size_t i = 0; i < static_cast<size_t>(count) && i < found.size(); ++i) {
          if (use(platform(EGL_PLATFORM_DEVICE_EXT, found.at(i), nullptr))) return true;
        }
      }
    }
    return use(egl_.get_display(EGL_DEFAULT_DISPLAY));
  }

  // True: a context of this display is current.
  bool use(EGLDisplay display) {
    if (display == EGL_NO_DISPLAY || egl_.initialize(display, nullptr, nullptr) == EGL_FALSE) {
      return false;
    }
    constexpr std::array<EGLint, 5> kConfig = {EGL_SURFACE_TYPE, EGL_PBUFFER_BIT,
                                               EGL_RENDERABLE_TYPE, EGL_OPENGL_BIT, EGL_NONE};
    constexpr std::array<EGLint, 5> kVersion = {EGL_CONTEXT_MAJOR_VERSION, 3,
                                                EGL_CONTEXT_MINOR_VERSION, 0, EGL_NONE};
    constexpr std::array<EGLint, 5> kPbuffer = {EGL_WIDTH, 8, EGL_HEIGHT, 8, EGL_NONE};
    EGLConfig config = nullptr;
    EGLint count = 0;
    if (egl_.bind_api(EGL_OPENGL_API) == EGL_TRUE &&
        egl_.choose_config(display, kConfig.data(), &config, 1, &count) == EGL_TRUE && count > 0) {
      context_ = egl_.create_context(display, config, EGL_NO_CONTEXT, kVersion.data());
      if (context_ != EGL_NO_CONTEXT) {
        display_ = display;
        if (egl_.make_current(display, EGL_NO_SURFACE, EGL_NO_SURFACE, context_) == EGL_TRUE) {
          return true;
        }
        const EGLSurface pbuffer = egl_.create_pbuffer(display, config, kPbuffer.data());
        if (egl_.make_current(display, pbuffer, pbuffer, context_) == EGL_TRUE) return true;
        egl_.destroy_context(display, context_);
        context_ = EGL_NO_CONTEXT;
        display_ = EGL_NO_DISPLAY;
      }
    }
    egl_.terminate(display);
    return false;
  }

  Result<void> make_framebuffer() {
    GLint largest = 0;
    gl_.get_integer(GL_MAX_RENDERBUFFER_SIZE, &largest);
    if (size_.width > largest || size_.height > largest) {
      return fail(fmt::format("--size {}x{} is more than this OpenGL can draw: at most {}x{}",
                              size_.width, size_.height, largest, largest));
    }
    GLuint framebuffer = 0;
    GLuint colours = 0;
    gl_.gen_framebuffers(1, &framebuffer);
    gl_.bind_framebuffer(GL_FRAMEBUFFER, framebuffer);
    gl_.gen_renderbuffers(1, &colours);
    gl_.bind_renderbuffer(GL_RENDERBUFFER, colours);
    gl_.renderbuffer_storage(GL_RENDERBUFFER, GL_RGBA8, size_.width, size_.height);
    gl_.framebuffer_renderbuffer(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_RENDERBUFFER, colours);
    if (gl_.check_framebuffer(GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE) {
      return fail("OpenGL could not make a picture of this size: try a smaller --size");
    }
    return {};
  }

  const Size size_;
  Egl egl_;
  Gl gl_;
  EGLDisplay display_ = EGL_NO_DISPLAY;
  EGLContext context_ = EGL_NO_CONTEXT;
  bool renderer_started_ = false;
};

}  // namespace

Result<std::unique_ptr<Surface>> open_offscreen(Size size) {
  auto surface = std::make_unique<Offscreen>(size);
  if (auto started = surface->start(); !started) return tl::unexpected(started.error());
  return surface;
}

}  // namespace tidemark::viewer
