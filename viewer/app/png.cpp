#include "png.h"

#include <stb/stb_image_write.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace tidemark::viewer {

Result<void> write_png(const std::string& path, const Image& image) {
  std::string bytes;
  const auto collect = [](void* to, void* data, int size) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(data),
                                          static_cast<size_t>(size));
  };
  if (stbi_write_png_to_func(collect, &bytes, image.size.width, image.size.height, 4,
                             image.rgba.data(), image.size.width * 4) == 0) {
    return fail("the picture could not be encoded");
  }
  // stdio, because it keeps errno for the message.
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return fail("cannot write " + path + ": " + std::strerror(errno));
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  const int why = errno;
  if (std::fclose(file) != 0 || !written) {
    return fail("cannot write " + path + ": " + std::strerror(written ? errno : why));
  }
  return {};
}

}  // namespace tidemark::viewer
