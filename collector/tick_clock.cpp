#include "tick_clock.h"

#include <time.h>

#include <algorithm>
#include <string_view>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace tidemark::collector {

TickClock::TickClock(Reading first, Reading second) : converts_(true), first_(first) {
  const uint64_t ticks = std::max<uint64_t>(second.ticks - first.ticks, 1);
  const auto slope = static_cast<int64_t>(
      (static_cast<unsigned __int128>(second.ns - first.ns) << kShift) / ticks);
  lines_.fill({first.ticks, first.ns, slope});
}

void TickClock::begin_line(const Line& line) {
  newest_ = (newest_ + 1) % kLines;
  lines_[newest_] = line;
}

void TickClock::adjust(Reading now) {
  if (!converts_ || now.ticks <= first_.ticks) return;
  // The end of a bend that lies ahead: nobody has asked for what comes after it.
  if (lines_[newest_].ticks > now.ticks) newest_ = (newest_ + kLines - 1) % kLines;
  if (now.ticks <= lines_[newest_].ticks) return;
  const uint64_t here = to_ns(now.ticks);
  // The rate over all that has passed, which the error of one reading does not disturb, and a
  // correction that closes the gap in kCatchUpNs from now.
  const uint64_t passed = now.ticks - first_.ticks;
  const auto rate =
      static_cast<int64_t>((static_cast<unsigned __int128>(now.ns - first_.ns) << kShift) / passed);
  const auto gap = static_cast<int64_t>(now.ns - here);
  const auto bend = static_cast<int64_t>(
      static_cast<__int128>(rate) * std::clamp(gap, -kCatchUpNs / 2, kCatchUpNs / 2) / kCatchUpNs);
  begin_line({now.ticks, here, rate + bend});
  const auto bend_ticks =
      static_cast<uint64_t>((static_cast<unsigned __int128>(kCatchUpNs) << kShift) /
                            static_cast<uint64_t>(std::max<int64_t>(rate, 1)));
  const uint64_t end_ticks = now.ticks + bend_ticks;
  begin_line({end_ticks, to_ns(end_ticks), rate});
}

bool kernel_keeps_time_by_tsc(const char* clocksource) {
#if defined(__x86_64__)
  std::string_view name(clocksource);
  while (!name.empty() && (name.back() == '\n' || name.back() == ' ')) name.remove_suffix(1);
  return name == "tsc";
#else
  static_cast<void>(clocksource);
  return false;
#endif
}

TickClock::Reading read_both_clocks() {
  TickClock::Reading best{};
#if defined(__x86_64__)
  uint64_t closest = UINT64_MAX;
  for (int i = 0; i < 4; ++i) {
    unsigned processor = 0;
    const uint64_t before = __rdtscp(&processor);
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const uint64_t after = __rdtscp(&processor);
    if (after - before >= closest) continue;
    closest = after - before;
    best = {before + closest / 2,
            static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec)};
  }
#endif
  return best;
}

}  // namespace tidemark::collector
