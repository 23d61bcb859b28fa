// A host program makes millions of small blocks, which no what-if changes and whose stacks are
// nobody's to look at. A schedule of the host has the large ones, and of the rest only what it
// needs at each moment. Pure; any thread that owns the Reader.
//
//   small   ▁▂▅▂▃ ▃▃▇▄ …            large   A ─────────┐   B ──┐
//   between two events of large ones: how much there is more or less of the small ones afterwards
//   is one block, or the end of some; what there was for a moment is one that ends at once.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tidemark/analyzer/schedule.h"

namespace tidemark::analyzer {

struct SmallChange {
  int64_t time_ns = 0;
  int64_t bytes = 0;  // freed: negative
};

// The size from which on blocks count as large, of a host series with more than 200,000; 0: all do.
// So that there are at most 100,000.
[[nodiscard]] Result<uint64_t> large_from(const trace::Reader& reader, const Series& series);
// The reader without smaller allocations; it must outlive this.
std::unique_ptr<trace::Reader> large_blocks_of(const trace::Reader& reader, uint64_t from_bytes);
[[nodiscard]] Result<std::vector<SmallChange>> small_changes(const trace::Reader& reader,
                                                             const Series& series,
                                                             uint64_t from_bytes);
// Without an origin: nobody's. `event_ns` as Schedule's, which says where they are put.
std::vector<ScheduledBlock> blocks_of_rest(std::span<const int64_t> event_ns,
                                           std::vector<SmallChange> changes);

}  // namespace tidemark::analyzer
