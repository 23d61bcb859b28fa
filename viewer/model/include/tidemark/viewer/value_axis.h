// The byte axis of one track: 0 at the bottom, room above the highest value for its label. Pure.
#pragma once

#include <cstdint>
#include <vector>

namespace tidemark::viewer {

class ValueAxis {
 public:
  // `top_bytes`: the highest value to be shown. `headroom`: the share of the height above it.
  explicit ValueAxis(int64_t top_bytes = 1, double headroom = 0.12);

  double top_bytes() const { return top_; }
  // 0 → height (bottom), top_bytes() → 0.
  double to_pixel(double bytes, double height) const { return height - bytes / top_ * height; }
  double to_bytes(double pixel, double height) const { return (height - pixel) / height * top_; }
  // Multiples of a power of two above 0 and below the top, at least `spacing` pixels apart.
  std::vector<int64_t> ticks(double height, double spacing) const;

 private:
  double top_;
};

}  // namespace tidemark::viewer
