#include <gtest/gtest.h>

#include "tidemark/viewer/format.h"

namespace tidemark::viewer {
namespace {

TEST(viewer_format, bytes_have_three_digits_and_the_right_unit) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.00 KiB");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_bytes((int64_t{1} << 20) - 1), "1.00 MiB");
  EXPECT_EQ(format_bytes(int64_t{24} << 30), "24.0 GiB");
  EXPECT_EQ(format_bytes(int64_t{512} << 20), "512 MiB");
  EXPECT_EQ(format_bytes(-(int64_t{1} << 20)), "-1.00 MiB");
  EXPECT_EQ(format_bytes(INT64_MAX), "8.00 EiB");
  EXPECT_EQ(format_bytes(INT64_MIN), "-8.00 EiB");
}

TEST(viewer_format, exact_bytes_and_counts_have_separators) {
  EXPECT_EQ(format_bytes_exact(3'456'789'012), "3,456,789,012 B");
  EXPECT_EQ(format_bytes_exact(-1'000), "-1,000 B");
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1'000), "1,000");
  EXPECT_EQ(format_count(UINT64_MAX), "18,446,744,073,709,551,615");
  EXPECT_EQ(format_percent(0.1234), "12.3 %");
}

TEST(viewer_format, grid_lines_are_named_exactly) {
  EXPECT_EQ(format_bytes_tick(512), "512 B");
  EXPECT_EQ(format_bytes_tick(int64_t{512} << 20), "512 MiB");
  EXPECT_EQ(format_bytes_tick((int64_t{3} << 30) / 2), "1.5 GiB");
}

TEST(viewer_format, times_choose_their_unit_and_are_cut_not_rounded) {
  EXPECT_EQ(format_time(0), "0 ns");
  EXPECT_EQ(format_time(812), "812 ns");
  EXPECT_EQ(format_time(12'345), "12.345 \u00b5s");
  EXPECT_EQ(format_time(345'678'901), "345.678901 ms");
  EXPECT_EQ(format_time(12'345'678'999), "12.345678 s");
  EXPECT_EQ(format_time(125'123'456'789), "2:05.123456");
  EXPECT_EQ(format_time(3'725'123'456'789), "1:02:05.123456");
  EXPECT_EQ(format_time_exact(12'345'678'999), "12.345678999 s");
  EXPECT_EQ(format_time(-5), "-5 ns");
  EXPECT_EQ(format_duration(1'240'000'000), "1.24 s");
  EXPECT_EQ(format_duration(200'000'000'000), "3 min 20 s");
  EXPECT_EQ(format_duration(7'500'000'000'000), "2 h 5 min");
  EXPECT_EQ(format_duration(42), "42 ns");
}

TEST(viewer_format, functions_lose_parameters_templates_and_return_types_but_not_operators) {
  EXPECT_EQ(short_function("at::native::empty_cuda(c10::IntArrayRef, bool)"),
            "at::native::empty_cuda");
  EXPECT_EQ(short_function("std::vector<int, std::allocator<int> >::push_back(int const&)"),
            "std::vector::push_back");
  EXPECT_EQ(short_function("void at::detail::empty_generic<c10::IntArrayRef>(int)"),
            "at::detail::empty_generic");
  EXPECT_EQ(short_function("operator new(unsigned long)"), "operator new");
  EXPECT_EQ(short_function("foo::operator()(int) const"), "foo::operator()");
  EXPECT_EQ(short_function("a::operator<(a::T const&)"), "a::operator<");
  EXPECT_EQ(short_function("(anonymous namespace)::Pool::grow(unsigned long)"),
            "(anon)::Pool::grow");
  EXPECT_EQ(short_function("<module>"), "<module>");
  EXPECT_EQ(short_function("main"), "main");
  EXPECT_EQ(short_function(""), "");
  EXPECT_EQ(base_name("/a/b.so"), "b.so");
  EXPECT_EQ(base_name("b.so"), "b.so");
}

}  // namespace
}  // namespace tidemark::viewer
