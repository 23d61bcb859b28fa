#include <fmt/format.h>

#include <algorithm>

#include "render_parts.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

std::string place_of(const trace::Frame& frame) {
  if (!frame.file.empty()) {
    return frame.line > 0 ? fmt::format("{}:{}", frame.file, frame.line) : frame.file;
  }
  const size_t slash = frame.module.rfind('/');
  return slash == std::string::npos ? frame.module : frame.module.substr(slash + 1);
}

std::string hidden_line(size_t count) { return fmt::format("      … {} more\n", count); }

}  // namespace

std::string bytes_text(int64_t bytes) {
  return format_bytes(static_cast<uint64_t>(std::max<int64_t>(bytes, 0)));
}

std::string plural(uint64_t count, std::string_view one, std::string_view many) {
  return format_count(count) + " " + std::string(count == 1 ? one : many);
}

std::string stack_lines(const StackView& view) {
  constexpr size_t place_width = 34;
  constexpr size_t function_width = kColumns - place_width - 8;
  if (view.lines.empty()) return "      (no stack)\n";
  std::string out;
  bool marked = false;
  for (size_t i = 0; i < view.lines.size(); ++i) {
    const StackLine& line = view.lines[i];
    // What stands above the first line is the allocator: nobody asks for that.
    if (i > 0 && line.hidden_before > 0) out += hidden_line(line.hidden_before);
    const bool mark = !marked && line.role == FrameRole::kUser;
    marked = marked || mark;
    const std::string name = line.frame.function.empty()
                                 ? "?"
                                 : short_function(printable(line.frame.function), function_width);
    std::string text = fmt::format("    {} {}  {}", mark ? '>' : ' ',
                                   pad_right(fit(name, function_width), function_width),
                                   fit_path(printable(place_of(line.frame)), place_width));
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + '\n';
  }
  if (view.hidden_after > 0) out += hidden_line(view.hidden_after);
  return out;
}

std::string shares(const StackShares& shares, size_t most) {
  const size_t shown = std::min(most, shares.top.size());
  std::string out;
  uint64_t shown_bytes = 0;
  for (size_t i = 0; i < shown; ++i) {
    const StackShare& share = shares.top[i];
    shown_bytes += share.bytes;
    out +=
        fmt::format("  {}  {}  {}{}\n", pad_left(format_share(share.bytes, shares.bytes), 7),
                    pad_left(format_bytes(share.bytes), 9), plural(share.count, "block", "blocks"),
                    share.api.empty() ? "" : " of " + printable(share.api));
    out += stack_lines(share.stack);
  }
  if (shares.groups > shown) {
    out += fmt::format("  {}  {}  {}\n",
                       pad_left(format_share(shares.bytes - shown_bytes, shares.bytes), 7),
                       pad_left(format_bytes(shares.bytes - shown_bytes), 9),
                       plural(shares.groups - shown, "more stack", "more stacks"));
  }
  return out;
}

}  // namespace tidemark::analyzer
