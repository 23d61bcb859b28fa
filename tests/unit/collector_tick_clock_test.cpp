// Ticks to nanoseconds: continuous, always rising, close to the clock it follows.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tick_clock.h"

namespace tidemark::collector {
namespace {

TEST(TickClock, without_a_counter_ticks_are_nanoseconds) {
  TickClock clock;
  EXPECT_FALSE(clock.converts());
  EXPECT_EQ(clock.to_ns(12345), 12345U);
}

TEST(TickClock, goes_through_its_readings_when_the_clock_runs_evenly) {
  TickClock clock({1'000'000, 500}, {3'000'000, 1'000'500});
  EXPECT_EQ(clock.to_ns(1'000'000), 500U);
  EXPECT_NEAR(static_cast<double>(clock.to_ns(2'000'000)), 500'500, 1);
  EXPECT_EQ(clock.to_ns(999'000), 0U) << "what is older is extrapolated";
}

// A clock that is steered by some parts in a million while readings jitter, as a kernel's is.
TEST(TickClock, follows_a_steered_clock_without_ever_going_back) {
  std::mt19937_64 random(1);
  constexpr double kTicksPerNs = 2.445;
  double true_ns = 1e9;
  uint64_t ticks = 77'000'000'000;
  const auto reading = [&] {
    return TickClock::Reading{ticks,
                              static_cast<uint64_t>(true_ns + static_cast<double>(random() % 60))};
  };
  const auto advance = [&](uint64_t step_ticks, double steering) {
    ticks += step_ticks;
    true_ns += static_cast<double>(step_ticks) / kTicksPerNs * (1 + steering);
  };
  const auto first = reading();
  advance(2'500'000, 0);
  TickClock clock(first, reading());
  uint64_t before = 0;
  double worst_ns = 0;
  for (int pass = 0; pass < 5000; ++pass) {
    const double steering = 1e-5 * std::sin(pass / 300.0);
    for (int i = 0; i < 4; ++i) {
      advance(1 + random() % 8'000'000, steering);
      const uint64_t ns = clock.to_ns(ticks);
      ASSERT_GE(ns, before);
      before = ns;
      worst_ns = std::max(worst_ns, std::abs(static_cast<double>(ns) - true_ns));
    }
    const uint64_t unchanged = clock.to_ns(ticks - 1000);
    clock.adjust(reading());
    EXPECT_EQ(clock.to_ns(ticks - 1000), unchanged) << "what was asked before keeps its answer";
  }
  EXPECT_LT(worst_ns, 2000);
}

TickClock::Reading g_now{};

// A pass that is held up for long: what happened meanwhile is newer than its reading.
TEST(TickClock, reads_again_for_what_is_newer_than_its_reading) {
  // 2 ticks a nanosecond; the readings that it begins with say 1 % more.
  const auto at = [](uint64_t ns) { return TickClock::Reading{2 * ns, ns}; };
  TickClock clock(at(1'000'000), {2 * 2'010'000, 2'000'000}, [] { return g_now; });
  g_now = at(3'000'000);
  EXPECT_NEAR(static_cast<double>(clock.to_ns(2 * 2'999'000)), 2'999'000, 20);
  for (uint64_t ns = 4'000'000; ns < 90'000'000; ns += 1'000'000) {
    g_now = at(ns);
    ASSERT_NEAR(static_cast<double>(clock.to_ns(2 * (ns - 1000))), static_cast<double>(ns - 1000),
                20);
    g_now = at(ns + 500'000);
    ASSERT_NEAR(static_cast<double>(clock.to_ns(2 * (ns - 700))), static_cast<double>(ns - 700), 20)
        << "not asked for again";
  }
  // What a target scribbles does not move the clock.
  const uint64_t now_ns = g_now.ns;
  EXPECT_LE(clock.to_ns(uint64_t{1} << 62), now_ns + 20);
  EXPECT_LE(clock.to_ns(UINT64_MAX), now_ns + 20);
  g_now = at(now_ns + 1'000'000);
  EXPECT_NEAR(static_cast<double>(clock.to_ns(2 * now_ns + 1'000'000)),
              static_cast<double>(now_ns + 500'000), 20);
}

// A collector that is kept waiting (a loaded machine, a slow disk) reads the clocks seldom, and the
// two readings that it began with may be bad.
TEST(TickClock, finds_its_way_however_seldom_it_is_asked_to) {
  for (const uint64_t pause_ns : {2'000'000ULL, 100'000'000ULL, 500'000'000ULL, 7'000'000'000ULL}) {
    TickClock clock({1'000'000, 1'000'000}, {1'100'000, 1'105'000});  // 5 % too fast
    uint64_t ticks = 1'100'000;
    uint64_t last_off_ns = UINT64_MAX;
    uint64_t last_ns = 0;
    for (int pass = 0; pass < 400; ++pass) {
      // One tick a nanosecond; what is asked for between the readings keeps rising.
      for (int step = 0; step < 10; ++step) {
        ticks += pause_ns / 10;
        const uint64_t ns = clock.to_ns(ticks);
        EXPECT_GT(ns, last_ns);
        last_ns = ns;
      }
      clock.adjust({ticks, ticks});
      const uint64_t ns = clock.to_ns(ticks);
      const uint64_t off_ns = ns > ticks ? ns - ticks : ticks - ns;
      if (pass > 0) {
        EXPECT_LE(off_ns, last_off_ns) << pause_ns << " " << pass;
      }
      last_off_ns = off_ns;
    }
    EXPECT_LE(last_off_ns, 2'000U) << pause_ns;
  }
}

// The collector's order: the clocks are read, then stamps are taken out of the rings.
TEST(TickClock, what_lies_between_two_readings_is_as_exact_as_they_are_even_after_a_bad_start) {
  std::mt19937_64 random(2);
  TickClock clock({1'000'000, 1'000'000}, {1'100'000, 1'105'000});  // 5 % too fast
  uint64_t before = 1'100'000;
  uint64_t last_ns = 0;
  for (int pass = 0; pass < 300; ++pass) {
    const uint64_t pause_ns = 1'000'000 + random() % 60'000'000;
    const uint64_t now = before + pause_ns;
    clock.adjust({now, now + random() % 100});
    constexpr int kStamps = 20;
    for (uint64_t i = 1; i < kStamps; ++i) {
      const uint64_t ticks = before + pause_ns * i / kStamps;
      const uint64_t ns = clock.to_ns(ticks);
      EXPECT_GT(ns, last_ns);
      EXPECT_NEAR(static_cast<double>(ns), static_cast<double>(ticks), 110) << pass;
      last_ns = ns;
    }
    before = now;
  }
}

TEST(TickClock, only_a_kernel_that_trusts_the_counter_makes_us_trust_it) {
  EXPECT_TRUE(kernel_keeps_time_by_tsc("tsc\n"));
  EXPECT_FALSE(kernel_keeps_time_by_tsc("kvm-clock\n"));
  EXPECT_FALSE(kernel_keeps_time_by_tsc("hpet"));
  EXPECT_FALSE(kernel_keeps_time_by_tsc(""));
}

}  // namespace
}  // namespace tidemark::collector
