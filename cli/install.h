// Where this installation's other parts lie.
#pragma once

#include <filesystem>
#include <string>

namespace tidemark::cli {

// The folder of libtidemark_preload.so and libtidemark_cuda.so.
inline std::string library_dir() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return self.parent_path().parent_path() / TIDEMARK_PRIVATE_LIBDIR;
}

}  // namespace tidemark::cli
