// Questions that much of the analyzer asks of names. Private to the analyzer. Pure; any thread.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

namespace tidemark::analyzer {

inline bool starts_with_any(std::string_view text, std::span<const std::string_view> prefixes) {
  return std::ranges::any_of(prefixes,
                             [&](std::string_view prefix) { return text.starts_with(prefix); });
}

// Of ASCII letters.
inline std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Without its folders.
inline std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

}  // namespace tidemark::analyzer
