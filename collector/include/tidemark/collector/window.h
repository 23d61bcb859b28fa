// Which part of a recording keeps what the device did: kernels, copies, sets and accesses
// (`record --window`). Allocations, ranges and samples are kept always. Plain values and a pure
// parser; any thread. Times in nanoseconds since the recording began.
#pragma once

#include <cstdint>
#include <string>

#include "tidemark/trace/result.h"
#include "tidemark/trace/types.h"

namespace tidemark::collector {

struct WindowSpec {
  enum class Kind : uint8_t {
    kWhole,       // all of it
    kTime,        // from begin_ns to end_ns
    kRange,       // while a process has an NVTX range open that is called `range`: that process
    kIterations,  // from begin_iteration of a process until end_iteration begins
    kSignal,      // each SIGUSR1 to the recorder opens or closes it; closed at the beginning
  };
  Kind kind = Kind::kWhole;
  int64_t begin_ns = 0;
  int64_t end_ns = trace::kNever;
  std::string range;
  // Counted from 1, as PyTorch's backward passes are counted: the first iteration lasts until the
  // first pass is over, each other one until the next. end_iteration is the first one outside.
  int64_t begin_iteration = 1;
  int64_t end_iteration = trace::kNever;
};

// "10s:30s", "10s:", ":2min", "iterations:10:20", "nvtx:NAME", "signal". Times are numbers with ms,
// s, min or h; a number alone is seconds.
[[nodiscard]] Result<WindowSpec> parse_window(const std::string& text);

}  // namespace tidemark::collector
