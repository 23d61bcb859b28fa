// The peak of each process alone, in one host layer. Private to the analyzer. Pure.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "tidemark/analyzer/process_memory.h"

namespace tidemark::analyzer {

struct ProcessPeak {
  int64_t bytes = 0;
  int64_t time_ns = 0;  // the first moment at which it was reached
};

using ProcessPeaks = std::map<trace::ProcessId, ProcessPeak>;

// Of every process that had anything there.
[[nodiscard]] Result<ProcessPeaks> process_peaks(const trace::Reader& reader, trace::Layer layer);

// process_memory(), with the peaks of the heap where they are known already.
[[nodiscard]] Result<std::vector<ProcessMemoryUse>> process_memory(
    const trace::Reader& reader, MemoryDepth depth, const std::optional<ProcessPeaks>& heap_peaks);

}  // namespace tidemark::analyzer
