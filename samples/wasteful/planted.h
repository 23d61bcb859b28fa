// How the wasteful programs say what they waste: one line of standard output for each pattern, with
// the name that `tidemark report` has for it, the line of code, and the bytes.
#pragma once

#include <cstddef>
#include <cstdio>

namespace wasteful {

constexpr size_t kMiB = size_t{1} << 20;

inline void planted(const char* pattern, const char* file, int line, size_t bytes) {
  const char* name = file;
  for (const char* c = file; *c != 0; ++c) {
    if (*c == '/') name = c + 1;
  }
  std::printf("planted %s %s:%d %zu\n", pattern, name, line, bytes);
}

}  // namespace wasteful

// Says so once, and does it, on the line that is to be blamed.
#define PLANT(pattern, bytes, statement)                          \
  do {                                                            \
    static bool said = false;                                     \
    if (!said) {                                                  \
      ::wasteful::planted(#pattern, __FILE__, __LINE__, (bytes)); \
    }                                                             \
    said = true;                                                  \
    statement;                                                    \
  } while (false)
