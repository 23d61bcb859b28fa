// Pictures without a display: of one panel, or of each into a folder.
#pragma once

#include "app.h"

namespace tidemark::viewer {

// Errors: the trace, EGL, the picture's file.
[[nodiscard]] Result<void> take_screenshots(const Options& options);

}  // namespace tidemark::viewer
