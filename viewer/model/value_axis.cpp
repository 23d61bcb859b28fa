#include "tidemark/viewer/value_axis.h"

#include <algorithm>

namespace tidemark::viewer {

ValueAxis::ValueAxis(int64_t top_bytes, double headroom)
    : top_(static_cast<double>(std::max<int64_t>(top_bytes, 1)) / (1.0 - headroom)) {}

std::vector<int64_t> ValueAxis::ticks(double height, double spacing) const {
  std::vector<int64_t> ticks;
  if (height < spacing || spacing <= 0.0) return ticks;
  int64_t step = 1;
  while (step < INT64_MAX / 4 && static_cast<double>(step) / top_ * height < spacing) step *= 2;
  for (int64_t bytes = step; static_cast<double>(bytes) < top_; bytes += step) {
    ticks.push_back(bytes);
    if (bytes > INT64_MAX - step) break;
  }
  return ticks;
}

}  // namespace tidemark::viewer
