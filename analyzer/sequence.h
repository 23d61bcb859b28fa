// The steps among which iterations are looked for: allocations of one layer, or kernels, of the
// process that has most of them. Private to the analyzer. Pure: reads through trace::Reader.
//
// Times: ns since the recording began. Sizes: bytes.
#pragma once

#include <vector>

#include "tidemark/analyzer/structure.h"

namespace tidemark::analyzer {

// One step of the sequence in which iterations are looked for.
struct Step {
  int64_t time_ns = 0;
  int64_t end_ns = trace::kNever;  // of its block
  uint64_t size = 0;
  trace::StackId stack{};
  trace::StackId free_stack{};
  trace::ThreadId thread{};
};

struct Sequence {
  Basis basis = Basis::kNone;
  trace::ProcessId process{};
  std::vector<Step> steps;     // ascending in time
  std::vector<uint64_t> keys;  // of each
};

// Pool, driver, or kernels (of no layer). Empty steps: there are none.
[[nodiscard]] Result<Sequence> device_sequence(const trace::Reader& reader, trace::Layer layer,
                                               Basis basis);
// Of the heap, in the order in which they should be tried: what is no small change, then all, where
// that is more.
[[nodiscard]] Result<std::vector<Sequence>> host_sequences(const trace::Reader& reader);

}  // namespace tidemark::analyzer
