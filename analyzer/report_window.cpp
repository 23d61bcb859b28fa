// What a recording with --window kept of the device's work, and what it left out.
#include <fmt/format.h>

#include <charconv>

#include "report_parts.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {

Result<void> add_window(const trace::Reader& reader, Report& report) {
  const std::string option = reader.meta("option_window");
  if (option.empty() || option == "whole") return {};
  auto windows = reader.windows();
  if (!windows) return tl::unexpected(windows.error());
  WindowReport window;
  window.option = option;
  window.windows = std::move(*windows);
  for (const trace::Loss& loss : reader.losses()) {
    if (loss.name == "kernels_outside_window") window.kernels_outside = loss.count;
    if (loss.name == "copies_outside_window") window.copies_outside = loss.count;
    if (loss.name == "sets_outside_window") window.sets_outside = loss.count;
  }
  if (const std::string counted = reader.meta("window_iterations"); !counted.empty()) {
    int64_t iterations = 0;
    std::from_chars(counted.data(), counted.data() + counted.size(), iterations);
    window.iterations = iterations;
  }
  report.window = std::move(window);
  return {};
}

std::string window_remark(const WindowReport& window) {
  const size_t count = window.windows.size();
  const std::string times = count == 0   ? "which never opened"
                            : count == 1 ? "which was open once"
                                         : fmt::format("which was open {} times", count);
  std::string counted;
  if (window.iterations && *window.iterations <= 1) {
    counted =
        ": no backward pass of PyTorch, by which iterations are told, was seen (nvtx:NAME takes a "
        "range of the program)";
  } else if (window.iterations) {
    counted =
        fmt::format(" in {} iterations", format_count(static_cast<uint64_t>(*window.iterations)));
  }
  return fmt::format(
      "kernels, copies, sets and accesses were kept only of the window (--window={}), {}{}: {} "
      "kernels, {} copies and {} sets outside were left out; memory is recorded throughout",
      window.option, times, counted, format_count(window.kernels_outside),
      format_count(window.copies_outside), format_count(window.sets_outside));
}

}  // namespace tidemark::analyzer
