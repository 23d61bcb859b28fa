// The peak of each process alone, in one host layer. Private to the analyzer.
#pragma once

#include <map>

#include "tidemark/analyzer/usage.h"

namespace tidemark::analyzer {

struct ProcessPeak {
  int64_t bytes = 0;
  int64_t time_ns = 0;  // the first moment at which it was reached
};

// Of every process that had anything there.
[[nodiscard]] Result<std::map<trace::ProcessId, ProcessPeak>> process_peaks(
    const trace::Reader& reader, trace::Layer layer);

}  // namespace tidemark::analyzer
