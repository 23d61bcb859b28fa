#include "tidemark/analyzer/text.h"

#include <algorithm>
#include <cstdint>

namespace tidemark::analyzer {
namespace {

struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 0;  // 0: no UTF-8 here
};

CodePoint decode(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return {first, 1};
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (length == 0 || first > 0xf4 || text.size() < length) return {};
  uint32_t value = first & (0xffU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    value = (value << 6) | (byte(i) & 0x3fU);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  if (overlong || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return {};
  return {value, length};
}

bool steers_terminal(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x202a && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0x200e || code == 0x200f;
}

bool continues(char c) { return (static_cast<uint8_t>(c) & 0xc0) == 0x80; }

// The length in bytes of the first `width` columns.
size_t bytes_of_columns(std::string_view text, size_t width) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if (continues(text[at])) continue;
    if (width == 0) return at;
    --width;
  }
  return at;
}

// "f(int) const" → "f"; "operator()(int)" keeps its name; "(anonymous namespace)::f(int)" too.
std::string_view without_parameters(std::string_view function) {
  int depth = 0;
  for (size_t i = 0; i < function.size(); ++i) {
    const std::string_view rest = function.substr(i);
    if (rest.starts_with("(anonymous namespace)") || rest.starts_with("operator()")) {
      i += (rest.front() == '(' ? std::string_view("(anonymous namespace)")
                                : std::string_view("operator()"))
               .size() -
           1;
      continue;
    }
    if (rest.starts_with("operator<") || rest.starts_with("operator>") ||
        rest.starts_with("operator-")) {
      const size_t parameters = rest.find('(');
      if (parameters == std::string_view::npos) return function;
      i += parameters - 1;
      continue;
    }
    const char c = function[i];
    if (c == '<') ++depth;
    if (c == '>' && depth > 0) --depth;
    if (c == '(' && depth == 0) return i == 0 ? function : function.substr(0, i);
  }
  return function;
}

std::string without_template_arguments(std::string_view function) {
  if (function.find("operator") != std::string_view::npos) return std::string(function);
  std::string result;
  int depth = 0;
  for (const char c : function) {
    if (c == '<' && depth++ == 0) result += "<…";
    if (c == '>' && depth > 0) --depth;
    if (depth == 0) result += c;
  }
  return result;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const CodePoint code = decode(text);
    const size_t bytes = std::max<size_t>(code.bytes, 1);
    if (code.value == '\n' || code.value == '\t' || code.value == '\r') {
      result += ' ';
    } else if (code.bytes == 0 || steers_terminal(code.value)) {
      result += '?';
    } else {
      result += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return result;
}

size_t columns(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

std::string fit(std::string_view text, size_t width) {
  if (columns(text) <= width) return std::string(text);
  if (width == 0) return "";
  return std::string(text.substr(0, bytes_of_columns(text, width - 1))) + "…";
}

std::string fit_path(std::string_view path, size_t width) {
  const size_t all = columns(path);
  if (all <= width) return std::string(path);
  if (width == 0) return "";
  return "…" + std::string(path.substr(bytes_of_columns(path, all - (width - 1))));
}

std::string pad_right(std::string_view text, size_t width) {
  const size_t used = columns(text);
  return std::string(text) + std::string(width > used ? width - used : 0, ' ');
}

std::string pad_left(std::string_view text, size_t width) {
  const size_t used = columns(text);
  return std::string(width > used ? width - used : 0, ' ') + std::string(text);
}

std::string short_function(std::string_view function, size_t width) {
  const std::string_view name = without_parameters(function);
  if (columns(name) <= width) return std::string(name);
  return fit(without_template_arguments(name), width);
}

std::string TextTable::text() const {
  std::vector<size_t> widths;
  for (const Column& column : columns_) widths.push_back(analyzer::columns(column.title));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], analyzer::columns(row[i]));
    }
  }
  std::string result;
  const auto add_line = [&](const auto& cell_of) {
    std::string line;
    for (size_t i = 0; i < columns_.size(); ++i) {
      line += "  ";
      line += columns_[i].align == Align::kRight ? pad_left(cell_of(i), widths[i])
                                                 : pad_right(cell_of(i), widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + '\n';
  };
  add_line([&](size_t i) { return columns_[i].title; });
  for (const auto& row : rows_) {
    add_line([&](size_t i) { return i < row.size() ? row[i] : std::string(); });
  }
  return result;
}

}  // namespace tidemark::analyzer
