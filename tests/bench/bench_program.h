// What the benchmark programs over a trace begin with: an error ends them, and how much processor
// time they have had.
#pragma once

#include <fmt/format.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <type_traits>
#include <utility>

#include "tidemark/trace/result.h"

namespace tidemark::bench {

template <class T>
T must(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "{}\n", result.error().message);
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

inline double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace tidemark::bench
