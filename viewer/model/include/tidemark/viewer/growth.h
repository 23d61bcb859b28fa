// Whether a trace that is still being recorded has grown since it was read: by the sizes and times
// of its file and of what SQLite keeps beside it. Main thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>

namespace tidemark::viewer {

class Growth {
 public:
  // As of now.
  explicit Growth(std::string path);
  // True once for each change, and not before `least` has passed since the last.
  bool grew(std::chrono::milliseconds least);

 private:
  struct Stamp {
    uintmax_t size = 0;
    int64_t time = 0;
    bool operator==(const Stamp&) const = default;
  };
  using Stamps = std::array<Stamp, 2>;
  Stamps look() const;

  std::string path_;
  Stamps seen_;
  std::chrono::steady_clock::time_point looked_;
};

}  // namespace tidemark::viewer
