#include "tick_clock.h"

#include <time.h>

#include <algorithm>
#include <string_view>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace tidemark::collector {

TickClock::TickClock(Reading first, Reading second, Reading (*read)())
    : converts_(true), read_(read), first_(first), last_reading_(first.ticks) {
  const uint64_t ticks = std::max<uint64_t>(second.ticks - first.ticks, 1);
  const auto slope = static_cast<int64_t>(
      (static_cast<unsigned __int128>(second.ns - first.ns) << kShift) / ticks);
  lines_.fill({first.ticks, first.ns, slope});
}

void TickClock::begin_line(const Line& line) {
  newest_ = (newest_ + 1) % kLines;
  lines_[newest_] = line;
}

uint64_t TickClock::catch_up(uint64_t ticks) {
  adjust(read_());
  return std::max(asked_, std::min(ticks, last_reading_));
}

void TickClock::adjust(Reading now) {
  if (!converts_ || now.ticks <= first_.ticks || now.ns <= first_.ns) return;
  // What lies ahead of every answer may still change.
  const uint64_t settled = std::max(asked_, last_reading_);
  for (size_t i = 0; i < kLines && lines_[newest_].ticks > settled; ++i) {
    newest_ = (newest_ + kLines - 1) % kLines;
  }
  // The rate over all that has passed, which the error of one reading does not disturb.
  const uint64_t passed = now.ticks - first_.ticks;
  const auto rate =
      static_cast<int64_t>((static_cast<unsigned __int128>(now.ns - first_.ns) << kShift) / passed);
  if (now.ticks > settled) {
    const uint64_t from = std::max(settled, lines_[newest_].ticks);
    const uint64_t from_ns = on_line(from);
    const auto straight = static_cast<int64_t>(
        (static_cast<__int128>(static_cast<int64_t>(now.ns - from_ns)) << kShift) /
        static_cast<__int128>(now.ticks - from));
    begin_line({from, from_ns, std::clamp(straight, rate / 2, rate * 2)});
    last_reading_ = now.ticks;
  }
  const uint64_t here = std::max(now.ticks, settled);
  const uint64_t here_ns = on_line(here);
  const auto gap = static_cast<int64_t>(now.ns - on_line(now.ticks));
  const auto bend = static_cast<int64_t>(
      static_cast<__int128>(rate) * std::clamp(gap, -kCatchUpNs / 2, kCatchUpNs / 2) / kCatchUpNs);
  begin_line({here, here_ns, rate + bend});
  if (bend == 0) return;
  const auto bend_ticks =
      static_cast<uint64_t>((static_cast<unsigned __int128>(kCatchUpNs) << kShift) /
                            static_cast<uint64_t>(std::max<int64_t>(rate, 1)));
  const uint64_t end_ticks = here + bend_ticks;
  begin_line({end_ticks, on_line(end_ticks), rate});
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
  // A virtual machine is stopped now and then between two instructions: some tries are lost.
  constexpr uint64_t kCloseTicks = 1000;
  for (int i = 0; i < 4 || (i < 20 && closest > kCloseTicks); ++i) {
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
