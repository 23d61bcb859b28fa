#include "tidemark/collector/window.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

namespace tidemark::collector {
namespace {

constexpr std::string_view kForms =
    "give it a time (10s:30s, 10s:, :2min), iterations:10:20, nvtx:NAME of a range of the "
    "program, or signal";

std::optional<int64_t> parse_time(std::string_view text) {
  double number = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || !std::isfinite(number) || number < 0) return std::nullopt;
  const std::string_view unit(at, static_cast<size_t>(text.data() + text.size() - at));
  double ns = 0;
  if (unit == "ms") {
    ns = number * 1e6;
  } else if (unit.empty() || unit == "s") {
    ns = number * 1e9;
  } else if (unit == "min") {
    ns = number * 60e9;
  } else if (unit == "h") {
    ns = number * 3600e9;
  } else {
    return std::nullopt;
  }
  constexpr double kLongestNs = 1e17;  // three years
  if (ns > kLongestNs) return std::nullopt;
  return std::llround(ns);
}

// "10:20", "10:", ":20", behind "iterations:".
std::optional<WindowSpec> parse_iterations(std::string_view text) {
  WindowSpec spec;
  spec.kind = WindowSpec::Kind::kIterations;
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.size() == 1) return std::nullopt;
  const auto number = [](std::string_view digits, int64_t& value) {
    if (digits.empty()) return true;
    const auto [at, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc{} && at == digits.data() + digits.size() && value > 0;
  };
  if (!number(text.substr(0, colon), spec.begin_iteration)) return std::nullopt;
  if (!number(text.substr(colon + 1), spec.end_iteration)) return std::nullopt;
  return spec;
}

}  // namespace

Result<WindowSpec> parse_window(const std::string& text) {
  WindowSpec spec;
  if (text == "signal") {
    spec.kind = WindowSpec::Kind::kSignal;
    return spec;
  }
  constexpr std::string_view kNvtx = "nvtx:";
  if (text.starts_with(kNvtx)) {
    spec.kind = WindowSpec::Kind::kRange;
    spec.range = text.substr(kNvtx.size());
    if (spec.range.empty()) return fail("nvtx: lacks the name of the range: nvtx:NAME");
    return spec;
  }
  constexpr std::string_view kIterations = "iterations:";
  if (text.starts_with(kIterations)) {
    const auto found = parse_iterations(std::string_view(text).substr(kIterations.size()));
    if (!found) {
      return fail(
          fmt::format("\"{}\" names no iterations: iterations:10:20, iterations:10: or "
                      "iterations::20, counted from 1",
                      text));
    }
    if (found->end_iteration <= found->begin_iteration) {
      return fail(fmt::format("{} ends before it begins: put the earlier iteration first", text));
    }
    return *found;
  }
  const size_t colon = text.find(':');
  const std::string_view whole = text;
  if (colon == std::string::npos || whole.size() == 1) {
    return fail(fmt::format("\"{}\" is no window: {}", text, kForms));
  }
  spec.kind = WindowSpec::Kind::kTime;
  const auto begin = parse_time(colon == 0 ? "0" : whole.substr(0, colon));
  const bool to_the_end = colon + 1 == whole.size();
  const auto end = parse_time(to_the_end ? "0" : whole.substr(colon + 1));
  if (!begin || !end) return fail(fmt::format("\"{}\" is no window: {}", text, kForms));
  spec.begin_ns = *begin;
  if (!to_the_end) spec.end_ns = *end;
  if (spec.end_ns <= spec.begin_ns) {
    return fail(fmt::format("{} ends before it begins: put the earlier time first", text));
  }
  return spec;
}

}  // namespace tidemark::collector
