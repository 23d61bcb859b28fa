// Turns ticks of the time stamp counter into nanoseconds of CLOCK_MONOTONIC. Pure but for `read`:
// it is told pairs of readings, at least one a pass of the collector. One thread.
//
// The counter runs evenly; the kernel's clock is steered by some parts in a million. The function
// is a chain of straight lines. Stamps are asked for after the reading that follows them, so they
// lie between two readings: interpolated, as exact as the readings are. For what happens during a
// pass, which may be long on a busy machine, `read` gives another one; without it such stamps are
// extrapolated. Whatever has been asked for keeps its answer, so a line begins where the last
// question was answered, and where that was wrong the next line leads back.
//
//      ns │              ╱··    ● readings
//         │          ●╱          × the newest stamp that was asked for
//         │      ╱
//         │   ●×╱
//         └──────────────── ticks
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace tidemark::collector {

class TickClock {
 public:
  struct Reading {
    uint64_t ticks;
    uint64_t ns;
  };

  // Ticks that are nanoseconds already: to_ns() gives back what it gets.
  TickClock() = default;
  // Two readings at least some 100 us apart, and how to get more.
  TickClock(Reading first, Reading second, Reading (*read)() = nullptr);

  // A newer reading. What was asked before keeps its answer.
  void adjust(Reading now);

  [[nodiscard]] bool converts() const { return converts_; }
  // Rises strictly with ticks as far as whole nanoseconds let it.
  [[nodiscard]] uint64_t to_ns(uint64_t ticks) {
    if (!converts_) return ticks;
    if (ticks > asked_)
      asked_ = ticks > last_reading_ && read_ != nullptr ? catch_up(ticks) : ticks;
    return on_line(std::min(ticks, asked_));
  }

 private:
  static constexpr size_t kLines = 192;  // three a reading at most
  static constexpr int kShift = 32;
  // Time in which an error that was already told is made good.
  static constexpr int64_t kCatchUpNs = 50'000'000;
  struct Line {
    uint64_t ticks = 0;
    uint64_t ns = 0;
    int64_t ns_per_tick = 0;  // << kShift
  };
  void begin_line(const Line& line);
  // A reading now; what claims to be newer than that is taken to be of now.
  uint64_t catch_up(uint64_t ticks);
  [[nodiscard]] uint64_t on_line(uint64_t ticks) const {
    const Line* line = &lines_[newest_];
    // What a pass brings mostly happened after the reading of the pass before.
    for (size_t back = 1; ticks < line->ticks && back < kLines; ++back) {
      line = &lines_[(newest_ + kLines - back) % kLines];
    }
    const auto elapsed = static_cast<__int128>(ticks) - static_cast<__int128>(line->ticks);
    return static_cast<uint64_t>(static_cast<__int128>(line->ns) +
                                 ((elapsed * line->ns_per_tick) >> kShift));
  }

  std::array<Line, kLines> lines_{};
  size_t newest_ = 0;
  bool converts_ = false;
  Reading (*read_)() = nullptr;
  Reading first_{};
  uint64_t asked_ = 0;         // the newest ticks that were converted
  uint64_t last_reading_ = 0;  // ticks
};

// Whether the kernel itself keeps time by the counter of this machine (then it runs at one rate,
// alike on all processors), from the text of
// /sys/devices/system/clocksource/clocksource0/current_clocksource.
bool kernel_keeps_time_by_tsc(const char* clocksource);

// Both clocks now, taken as close together as this thread gets in a few tries.
TickClock::Reading read_both_clocks();

}  // namespace tidemark::collector
