// Writes a picture as PNG.
#pragma once

#include <string>

#include "surface.h"

namespace tidemark::viewer {

// Errors: the file cannot be written.
[[nodiscard]] Result<void> write_png(const std::string& path, const Image& image);

}  // namespace tidemark::viewer
