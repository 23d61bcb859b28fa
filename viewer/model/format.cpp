#include "tidemark/viewer/format.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "tidemark/analyzer/units.h"

namespace tidemark::viewer {
namespace {

constexpr int64_t kMicro = 1'000;
constexpr int64_t kMilli = 1'000'000;
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;
constexpr std::array<const char*, 7> kByteUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

uint64_t magnitude(int64_t value) {
  return value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

// "1.25" for 1,250,000 in units of a million with two decimals: integer arithmetic, so that no
// moment is rounded into its neighbour. Cut, not rounded: a label never lies in the future.
std::string decimal(int64_t value, int64_t unit, int decimals) {
  std::string text = fmt::format("{}", value / unit);
  if (decimals <= 0) return text;
  text += '.';
  int64_t rest = value % unit;
  for (int i = 0; i < decimals; ++i) {
    unit /= 10;
    if (unit == 0) break;
    text += static_cast<char>('0' + rest / unit);
    rest %= unit;
  }
  return text;
}

int decimals_for(int64_t unit, int64_t step) {
  int decimals = 0;
  while (unit > 1 && step % unit != 0) {
    unit /= 10;
    ++decimals;
  }
  return decimals;
}

std::string in_unit(int64_t time_ns, int64_t resolution_ns, int64_t scale_ns) {
  if (time_ns < 0) {
    return fmt::format(
        "-{}", in_unit(time_ns == INT64_MIN ? INT64_MAX : -time_ns, resolution_ns, scale_ns));
  }
  if (scale_ns < kMicro) return fmt::format("{} ns", time_ns);
  if (scale_ns < kMilli) {
    return decimal(time_ns, kMicro, decimals_for(kMicro, resolution_ns)) + " \u00b5s";
  }
  if (scale_ns < kSecond) {
    return decimal(time_ns, kMilli, decimals_for(kMilli, resolution_ns)) + " ms";
  }
  if (scale_ns < kMinute) {
    return decimal(time_ns, kSecond, decimals_for(kSecond, resolution_ns)) + " s";
  }
  std::string seconds =
      decimal(time_ns % kMinute, kSecond, decimals_for(kSecond, resolution_ns % kMinute));
  if (time_ns % kMinute < 10 * kSecond) seconds.insert(seconds.begin(), '0');
  if (scale_ns < kHour) return fmt::format("{}:{}", time_ns / kMinute, seconds);
  return fmt::format("{}:{:02}:{}", time_ns / kHour, time_ns % kHour / kMinute, seconds);
}

}  // namespace

std::string format_count(uint64_t count) { return analyzer::format_count(count); }

std::string format_bytes_exact(int64_t bytes) {
  return fmt::format("{}{} B", bytes < 0 ? "-" : "", format_count(magnitude(bytes)));
}

std::string format_bytes(int64_t bytes) {
  return fmt::format("{}{}", bytes < 0 ? "-" : "", analyzer::format_bytes(magnitude(bytes)));
}

std::string format_bytes_tick(int64_t bytes) {
  const uint64_t size = magnitude(bytes);
  size_t unit = 0;
  while (unit + 1 < kByteUnits.size() && (size >> (10 * (unit + 1))) != 0) ++unit;
  const double value = std::ldexp(static_cast<double>(size), -10 * static_cast<int>(unit));
  return fmt::format("{}{:.6g} {}", bytes < 0 ? "-" : "", value, kByteUnits.at(unit));
}

std::string format_percent(double share) { return fmt::format("{:.1f} %", share * 100.0); }

std::string format_time(int64_t time_ns) {
  const int64_t scale = static_cast<int64_t>(magnitude(time_ns) & INT64_MAX);
  return in_unit(time_ns, scale < kSecond ? 1 : kMicro, scale);
}

std::string format_time_exact(int64_t time_ns) {
  return in_unit(time_ns, 1, static_cast<int64_t>(magnitude(time_ns) & INT64_MAX));
}

std::string format_duration(int64_t ns) {
  if (ns < 0) return fmt::format("-{}", format_duration(ns == INT64_MIN ? INT64_MAX : -ns));
  const double value = static_cast<double>(ns);
  if (ns < kMicro) return fmt::format("{} ns", ns);
  if (ns < kMilli) return fmt::format("{:.3g} \u00b5s", value / kMicro);
  if (ns < kSecond) return fmt::format("{:.3g} ms", value / kMilli);
  if (ns < kMinute) return fmt::format("{:.3g} s", value / kSecond);
  if (ns < kHour) return fmt::format("{} min {} s", ns / kMinute, ns % kMinute / kSecond);
  return fmt::format("{} h {} min", ns / kHour, ns % kHour / kMinute);
}

std::string format_tick(int64_t time_ns, int64_t step_ns, int64_t last_ns) {
  if (time_ns == 0) return "0";
  return in_unit(time_ns, step_ns, static_cast<int64_t>(magnitude(last_ns) & INT64_MAX));
}

std::string_view base_name(std::string_view path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string short_function(std::string_view demangled) {
  std::string name;
  int depth = 0;  // of <>
  for (size_t i = 0; i < demangled.size(); ++i) {
    const char c = demangled[i];
    const std::string_view rest = demangled.substr(i);
    if (depth == 0 && rest.starts_with("operator")) {
      // Its symbols are part of the name: operator<, operator(), operator new[].
      const size_t end = demangled.find('(', i + (rest.starts_with("operator()") ? 10 : 8));
      return name + std::string(demangled.substr(i, end == std::string_view::npos ? end : end - i));
    }
    if (depth == 0 && rest.starts_with("(anonymous namespace)")) {
      name += "(anon)";
      i += std::string_view("(anonymous namespace)").size() - 1;
    } else if (c == '<') {
      ++depth;
    } else if (c == '>' && depth > 0) {
      --depth;
    } else if (depth > 0) {
      continue;
    } else if (c == '(') {
      break;
    } else if (c == ' ') {
      name.clear();  // what came before was a return type
    } else {
      name += c;
    }
  }
  // "<listcomp>", "<module>": Python's own names.
  return name.empty() ? std::string(demangled) : name;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace tidemark::viewer
