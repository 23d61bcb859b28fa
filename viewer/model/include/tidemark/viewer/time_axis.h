// The one time axis that all tracks share: which span is shown, on how many pixels, and what
// zooming and panning do to it. Plain value, no ImGui. Times: nanoseconds since the recording
// began; pixels count from the left edge of the plot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tidemark::viewer {

struct TimeTick {
  int64_t time_ns = 0;
  std::string label;
};

class TimeAxis {
 public:
  // No closer than this: a nanosecond is then many pixels wide.
  static constexpr double kMinSpanNs = 20.0;

  TimeAxis() : TimeAxis(0, 1) {}
  // All that can be shown: [begin_ns, end_ns), shown whole at first. An empty extent becomes 1 ns.
  TimeAxis(int64_t begin_ns, int64_t end_ns);

  void set_width(double pixels);
  double width() const { return width_; }
  int columns() const { return static_cast<int>(width_); }

  double begin_ns() const { return begin_; }
  double end_ns() const { return begin_ + span_; }
  double span_ns() const { return span_; }
  int64_t extent_begin_ns() const { return extent_begin_; }
  int64_t extent_end_ns() const { return extent_end_; }
  bool shows_all() const;

  double to_pixel(double time_ns) const { return (time_ns - begin_) / span_ * width_; }
  double to_ns(double pixel) const { return begin_ + pixel / width_ * span_; }
  // Column c is [column_begin_ns(c), column_begin_ns(c + 1)): whole nanoseconds, no gap, no
  // overlap.
  int64_t column_begin_ns(int column) const;

  // The moment under `pixel` stays there as far as the extent lets it. factor > 1: closer.
  void zoom_about(double pixel, double factor);
  // The picture follows the mouse: positive pixels show what came earlier.
  void pan_by(double pixels);
  void frame_all();
  void frame(int64_t begin_ns, int64_t end_ns);
  // The same to a fraction of a nanosecond: what begin_ns() and span_ns() gave.
  void show(double begin_ns, double span_ns);
  // Moves the span, if need be, so that `time_ns` is inside with some room around it.
  void reveal(int64_t time_ns);

  // Round moments whose labels, `char_width` pixels a character, leave room between each other.
  std::vector<TimeTick> ticks(double char_width) const;

 private:
  void clamp();

  int64_t extent_begin_;
  int64_t extent_end_;
  double begin_ = 0.0;
  double span_ = 1.0;
  double width_ = 1.0;
};

}  // namespace tidemark::viewer
