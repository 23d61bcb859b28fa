#include "tidemark/viewer/time_axis.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tidemark/viewer/format.h"

namespace tidemark::viewer {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;

// Above a second people count in sixties and twenty-fours, not in tens.
constexpr std::array<int64_t, 14> kLongSteps = {
    15 * kSecond, 30 * kSecond, kMinute,   2 * kMinute, 5 * kMinute, 10 * kMinute, 15 * kMinute,
    30 * kMinute, kHour,        2 * kHour, 3 * kHour,   6 * kHour,   12 * kHour,   24 * kHour};

std::vector<int64_t> nice_steps() {
  std::vector<int64_t> steps;
  for (int64_t decade = 1; decade <= kSecond; decade *= 10) {
    steps.insert(steps.end(), {decade, 2 * decade, 5 * decade});
  }
  steps.push_back(10 * kSecond);
  steps.insert(steps.end(), kLongSteps.begin(), kLongSteps.end());
  for (int64_t days = 2; days <= 4096; days *= 2) steps.push_back(days * 24 * kHour);
  return steps;
}

}  // namespace

TimeAxis::TimeAxis(int64_t begin_ns, int64_t end_ns)
    : extent_begin_(begin_ns), extent_end_(std::max(end_ns, begin_ns + 1)) {
  frame_all();
}

void TimeAxis::set_width(double pixels) { width_ = std::max(pixels, 1.0); }

bool TimeAxis::shows_all() const {
  return span_ >= static_cast<double>(extent_end_ - extent_begin_);
}

int64_t TimeAxis::column_begin_ns(int column) const {
  return static_cast<int64_t>(std::ceil(to_ns(static_cast<double>(column))));
}

void TimeAxis::zoom_about(double pixel, double factor) {
  if (!(factor > 0.0) || !std::isfinite(factor)) return;
  const double anchor = to_ns(pixel);
  const double whole = static_cast<double>(extent_end_ - extent_begin_);
  span_ = std::clamp(span_ / factor, std::min(kMinSpanNs, whole), whole);
  begin_ = anchor - pixel / width_ * span_;
  clamp();
}

void TimeAxis::pan_by(double pixels) {
  begin_ -= pixels / width_ * span_;
  clamp();
}

void TimeAxis::frame_all() {
  begin_ = static_cast<double>(extent_begin_);
  span_ = static_cast<double>(extent_end_ - extent_begin_);
}

void TimeAxis::frame(int64_t begin_ns, int64_t end_ns) {
  begin_ = static_cast<double>(begin_ns);
  span_ = static_cast<double>(end_ns) - begin_;
  clamp();
}

void TimeAxis::show(double begin_ns, double span_ns) {
  begin_ = begin_ns;
  span_ = span_ns;
  clamp();
}

void TimeAxis::reveal(int64_t time_ns) {
  const double time = static_cast<double>(time_ns);
  const double room = span_ * 0.05;
  if (time < begin_ + room) begin_ = time - span_ * 0.25;
  if (time > begin_ + span_ - room) begin_ = time - span_ * 0.75;
  clamp();
}

void TimeAxis::clamp() {
  const double first = static_cast<double>(extent_begin_);
  const double whole = static_cast<double>(extent_end_ - extent_begin_);
  span_ = std::clamp(span_, std::min(kMinSpanNs, whole), whole);
  begin_ = std::clamp(begin_, first, first + whole - span_);
}

std::vector<TimeTick> TimeAxis::ticks(double char_width) const {
  static const std::vector<int64_t> steps = nice_steps();
  const int64_t last = static_cast<int64_t>(std::floor(end_ns()));
  int64_t step = steps.back();
  for (const int64_t candidate : steps) {
    const double pixels = static_cast<double>(candidate) / span_ * width_;
    if (pixels < char_width * 4.0) continue;
    const size_t characters = format_tick(last, candidate, last).size();
    if (pixels >= static_cast<double>(characters + 4) * char_width) {
      step = candidate;
      break;
    }
  }
  std::vector<TimeTick> ticks;
  const int64_t from = static_cast<int64_t>(std::ceil(begin_));
  int64_t time = from - from % step;
  if (time < from) time += step;
  for (; time <= last; time += step) ticks.push_back({time, format_tick(time, step, last)});
  return ticks;
}

}  // namespace tidemark::viewer
