#include "tidemark/analyzer/units.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "names.h"

namespace tidemark::analyzer {
namespace {

// Decimals that leave three significant digits of a value below 1024.
int decimals_for(double value) { return value < 9.995 ? 2 : value < 99.95 ? 1 : 0; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// 0 when `unit` is none.
uint64_t unit_factor(std::string_view unit) {
  const std::string name = lower(unit);
  if (name.empty() || name == "b") return 1;
  constexpr std::string_view prefixes = "kmgtp";
  const size_t power = prefixes.find(name.front());
  if (power == std::string_view::npos) return 0;
  const std::string_view rest = std::string_view(name).substr(1);
  const bool binary = rest.empty() || rest == "ib";
  if (!binary && rest != "b") return 0;
  uint64_t factor = 1;
  for (size_t i = 0; i <= power; ++i) factor *= binary ? 1024 : 1000;
  return factor;
}

}  // namespace

std::string format_bytes(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  constexpr std::array units = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1023.5 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", value, decimals_for(value), units[unit]);
}

std::string format_ns(int64_t ns) {
  const double value = static_cast<double>(ns);
  const double size = std::abs(value);
  if (size < 1e3) return fmt::format("{} ns", ns);
  if (size < 999'999.5) return fmt::format("{:.3f} µs", value / 1e3);
  if (size < 999'999'500.) return fmt::format("{:.3f} ms", value / 1e6);
  return fmt::format("{:.3f} s", value / 1e9);
}

std::string format_count(uint64_t count) {
  std::string digits = std::to_string(count);
  for (size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::string format_watts(int64_t milliwatts) {
  const double watts = static_cast<double>(milliwatts) * 1e-3;
  return fmt::format("{:.{}f} W", watts, watts < 9.95 ? 1 : 0);
}

std::string format_joules(int64_t millijoules) {
  const double joules = static_cast<double>(millijoules) * 1e-3;
  if (joules < 999.95) return fmt::format("{:.1f} J", joules);
  if (joules < 999'995) return fmt::format("{:.2f} kJ", joules * 1e-3);
  return fmt::format("{:.2f} MJ", joules * 1e-6);
}

std::string format_share(uint64_t part, uint64_t whole) {
  const double share =
      whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
  return fmt::format("{:.1f} %", share);
}

Result<uint64_t> parse_size(std::string_view text) {
  const std::string_view input = trim(text);
  const auto bad = [&](std::string_view why) {
    return fail(fmt::format("'{}' is no size: {}; write it like 24GiB, 512MB or 4096", text, why));
  };
  size_t digits = 0;
  while (digits < input.size() &&
         (std::isdigit(static_cast<unsigned char>(input[digits])) != 0 || input[digits] == '.')) {
    ++digits;
  }
  if (digits == 0) return bad("it does not begin with a number");
  const std::string_view unit = trim(input.substr(digits));
  const uint64_t factor = unit_factor(unit);
  if (factor == 0) return bad(fmt::format("'{}' is no unit", unit));

  const std::string_view number = input.substr(0, digits);
  constexpr uint64_t max = std::numeric_limits<int64_t>::max();
  uint64_t whole = 0;  // exact, where a double would not be
  const auto integer = std::from_chars(number.data(), number.data() + number.size(), whole);
  if (integer.ec == std::errc() && integer.ptr == number.data() + number.size()) {
    if (whole > max / factor) return bad("it is too large");
    return whole * factor;
  }
  double value = 0;
  const auto real = std::from_chars(number.data(), number.data() + number.size(), value);
  if (real.ec != std::errc() || real.ptr != number.data() + number.size()) {
    return bad(fmt::format("'{}' is no number", number));
  }
  const double bytes = value * static_cast<double>(factor);
  if (bytes >= static_cast<double>(max)) return bad("it is too large");
  return static_cast<uint64_t>(bytes);
}

}  // namespace tidemark::analyzer
