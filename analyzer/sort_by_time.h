// Sorts millions of rows by their member time_ns; rows of one time stay in their order, or (few
// rows) in any. Private to the analyzer. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tidemark::analyzer {

// By the digits of the time since the earliest, from the lowest: four passes for an hour's trace.
template <class Row>
void radix_sort_by_time(std::vector<Row>& rows) {
  const auto [first, last] = std::minmax_element(
      rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.time_ns < b.time_ns; });
  const auto base = static_cast<uint64_t>(first->time_ns);
  const uint64_t span = static_cast<uint64_t>(last->time_ns) - base;
  constexpr unsigned kDigitBits = 11;
  constexpr size_t kDigits = size_t{1} << kDigitBits;
  std::vector<Row> other(rows.size());
  for (unsigned shift = 0; shift < 64 && span >> shift != 0; shift += kDigitBits) {
    const auto digit = [&](const Row& row) {
      return (static_cast<uint64_t>(row.time_ns) - base) >> shift & (kDigits - 1);
    };
    std::array<size_t, kDigits> place{};
    for (const Row& row : rows) ++place[digit(row)];
    size_t sum = 0;
    for (size_t& count : place) sum += std::exchange(count, sum);
    for (const Row& row : rows) other[place[digit(row)]++] = row;
    std::swap(rows, other);
  }
}

// Few are out of order when they come as the collector saw them; then the check is all there is to
// do. Ends are not.
template <class Row>
void sort_by_time(std::vector<Row>& rows) {
  const auto earlier = [](const Row& a, const Row& b) { return a.time_ns < b.time_ns; };
  constexpr size_t kFew = 4096;
  if (std::is_sorted(rows.begin(), rows.end(), earlier)) return;
  if (rows.size() < kFew) {
    std::sort(rows.begin(), rows.end(), earlier);
    return;
  }
  radix_sort_by_time(rows);
}

}  // namespace tidemark::analyzer
