// Replays every lifetime of a trace by time and says whether they can have happened.
//
// Per process, layer, space and device: nothing ends before it begins, no live block overlaps
// another (which is also what a block freed twice, or never, looks like), live bytes never fall
// below zero; nothing happens before its process began or after it ended. What the collector had to
// mend to get rows out of events is in its counters, which are given back for the caller to judge.
//
// One thread. Memory: about 60 bytes an allocation.
#pragma once

#include <nlohmann/json.hpp>

#include "tidemark/trace/reader.h"

namespace tidemark::testing {

// {allocations, frees, processes, threads, losses: {name: {count, severity}},
//  peak_bytes_by_process_and_layer: {process: {layer: bytes}}, problems: how many,
//  shown_problems: the first of them in words}
[[nodiscard]] Result<nlohmann::json> check_consistency(const trace::Reader& reader);

}  // namespace tidemark::testing
