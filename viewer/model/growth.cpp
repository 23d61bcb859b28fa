#include "tidemark/viewer/growth.h"

#include <filesystem>
#include <utility>

namespace tidemark::viewer {

Growth::Growth(std::string path)
    : path_(std::move(path)), seen_(look()), looked_(std::chrono::steady_clock::now()) {}

bool Growth::grew(std::chrono::milliseconds least) {
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_ < least) return false;
  looked_ = now;
  const Stamps stamps = look();
  return std::exchange(seen_, stamps) != stamps;
}

Growth::Stamps Growth::look() const {
  Stamps stamps;
  const std::array<std::string, 2> files = {path_, path_ + "-wal"};
  for (size_t i = 0; i < files.size(); ++i) {
    std::error_code error;  // what is not there has size 0
    const uintmax_t size = std::filesystem::file_size(files.at(i), error);
    if (error) continue;
    const auto time = std::filesystem::last_write_time(files.at(i), error);
    if (!error) stamps.at(i) = {size, static_cast<int64_t>(time.time_since_epoch().count())};
  }
  return stamps;
}

}  // namespace tidemark::viewer
