// Where frames go: a window, or a picture in memory. One at a time, on the main thread. The Dear
// ImGui context is there before a Surface and outlives it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tidemark/trace/result.h"
#include "tidemark/viewer/palette.h"

namespace tidemark::viewer {

struct Size {
  int width = 0;
  int height = 0;
};

struct Image {
  Size size;
  std::vector<uint8_t> rgba;  // rows from the top
};

class Surface {
 public:
  Surface() = default;
  Surface(const Surface&) = delete;
  Surface& operator=(const Surface&) = delete;
  virtual ~Surface() = default;

  // Of the window's frame, where there is one.
  virtual void set_title(const std::string& /*title*/) {}
  // Of the monitor: 1 for 96 dpi.
  virtual float scale() const = 0;
  // Waits until there is something to draw. False: the user closed it.
  virtual bool wait() = 0;
  virtual void begin_frame() = 0;
  virtual void end_frame(Colour background) = 0;
  // The atlas was made anew: what was uploaded of it is stale. Between frames.
  virtual void fonts_changed() = 0;
  // The file that was dropped onto it since the last call; "": none.
  virtual std::string take_dropped() { return {}; }
  // In the units of Dear ImGui; of a window what the user made of it.
  virtual Size size() const = 0;
  // Before a frame: read_back() will want it.
  virtual void keep_next_frame() {}
  // The last frame.
  [[nodiscard]] virtual Result<Image> read_back() = 0;
};

// `scaled`: the size is meant for 96 dpi. Errors: no display, no OpenGL.
[[nodiscard]] Result<std::unique_ptr<Surface>> open_window(Size size, bool scaled);
// Makes wait() return. Any thread; does nothing when no window is open.
void wake_window();

// Through EGL, loaded at run time. Errors: no EGL, no OpenGL, too large.
[[nodiscard]] Result<std::unique_ptr<Surface>> open_offscreen(Size size);

}  // namespace tidemark::viewer
