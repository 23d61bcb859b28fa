// What a recording with --window kept of the device's work, and what it left out.
#include <fmt/format.h>

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
  report.window = std::move(window);
  return {};
}

std::string window_remark(const WindowReport& window) {
  const size_t count = window.windows.size();
  const std::string times = count == 0   ? "which never opened"
                            : count == 1 ? "which was open once"
                                         : fmt::format("which was open {} times", count);
  return fmt::format(
      "kernels, copies, sets and accesses were kept only of the window (--window={}), {}: {} "
      "kernels, {} copies and {} sets outside were left out; memory is recorded throughout",
      window.option, times, format_count(window.kernels_outside),
      format_count(window.copies_outside), format_count(window.sets_outside));
}

}  // namespace tidemark::analyzer
