#include <gtest/gtest.h>

#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

TEST(Units, bytes_have_three_digits_and_a_binary_unit) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.00 KiB");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_bytes(1320702444), "1.23 GiB");
  EXPECT_EQ(format_bytes(uint64_t{24} << 30), "24.0 GiB");
  EXPECT_EQ(format_bytes(uint64_t{512} << 20), "512 MiB");
  EXPECT_EQ(format_bytes(UINT64_MAX), "16.0 EiB");
}

TEST(Units, bytes_round_into_the_next_unit) {
  EXPECT_EQ(format_bytes((1 << 20) - 1), "1.00 MiB");
  EXPECT_EQ(format_bytes(1023 * 1024 + 511), "1023 KiB");
}

TEST(Units, times_take_the_unit_that_fits) {
  EXPECT_EQ(format_ns(0), "0 ns");
  EXPECT_EQ(format_ns(999), "999 ns");
  EXPECT_EQ(format_ns(1500), "1.500 µs");
  EXPECT_EQ(format_ns(12'345'678), "12.346 ms");
  EXPECT_EQ(format_ns(1'234'000'000), "1.234 s");
  EXPECT_EQ(format_ns(-1'234'000'000), "-1.234 s");
  EXPECT_EQ(format_ns(999'999), "999.999 µs");
  EXPECT_EQ(format_ns(999'999'999), "1.000 s");
}

TEST(Units, counts_are_grouped_by_thousands) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(1234567), "1,234,567");
}

TEST(Units, a_share_of_nothing_is_nothing) {
  EXPECT_EQ(format_share(1, 3), "33.3 %");
  EXPECT_EQ(format_share(0, 0), "0.0 %");
}

TEST(Units, PowerAndEnergyReadInThreeDigitsOrSo) {
  EXPECT_EQ(format_watts(0), "0.0 W");
  EXPECT_EQ(format_watts(9'500), "9.5 W");
  EXPECT_EQ(format_watts(9'960), "10 W");
  EXPECT_EQ(format_watts(310'500), "310 W");
  EXPECT_EQ(format_joules(23'140), "23.1 J");
  EXPECT_EQ(format_joules(999'960), "1.00 kJ");
  EXPECT_EQ(format_joules(4'210'000), "4.21 kJ");
  EXPECT_EQ(format_joules(1'300'000'000), "1.30 MJ");
}

TEST(Units, sizes_are_read_as_people_write_them) {
  EXPECT_EQ(parse_size("24GiB"), uint64_t{24} << 30);
  EXPECT_EQ(parse_size("24 gib"), uint64_t{24} << 30);
  EXPECT_EQ(parse_size("80G"), uint64_t{80} << 30);
  EXPECT_EQ(parse_size("512MB"), 512'000'000U);
  EXPECT_EQ(parse_size("1.5KiB"), 1536U);
  EXPECT_EQ(parse_size(" 4096 "), 4096U);
  EXPECT_EQ(parse_size("7b"), 7U);
  EXPECT_EQ(parse_size("9223372036854775807"), 9223372036854775807U);
}

TEST(Units, what_is_no_size_says_why) {
  for (const char* bad : {"", "GiB", "-1", "1.2.3G", "5 parsecs", "1kk", "9223372036854775808",
                          "99999999999999999999", "9000000T", "1e9", ".", "0x10", "inf", "nan"}) {
    const auto size = parse_size(bad);
    ASSERT_FALSE(size) << bad << " = " << *size;
    EXPECT_NE(size.error().message.find("24GiB"), std::string::npos) << size.error().message;
  }
}

TEST(Units, what_is_printed_is_accepted) {
  for (uint64_t bytes = 1; bytes < (uint64_t{1} << 60); bytes = bytes * 3 + 1) {
    const auto again = parse_size(format_bytes(bytes));
    ASSERT_TRUE(again) << format_bytes(bytes);
    EXPECT_NEAR(static_cast<double>(*again), static_cast<double>(bytes),
                static_cast<double>(bytes) * 0.006);
  }
}

}  // namespace
}  // namespace tidemark::analyzer
