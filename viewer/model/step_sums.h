// From changes in any order to the points of a curve.
#pragma once

#include <vector>

#include "lifetime_ends.h"

namespace tidemark::viewer {

struct Change {
  int64_t time_ns;
  int64_t bytes;
};

std::vector<analyzer::UsagePoint> sum_up(std::vector<Change> changes);

// The births and deaths of a series, each of the part that `part_of` tells.
template <class PartOf>
Result<void> part_changes(const trace::Reader& reader, const analyzer::Series& series,
                          const PartOf& part_of, std::vector<std::vector<Change>>* parts) {
  const LifetimeEnds ends(reader);
  return reader.allocations(filter_for(series), [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      const int64_t end = ends.end_ns(row);
      if (row.size == 0 || end <= row.alloc_ns) continue;
      const auto bytes = static_cast<int64_t>(std::min<uint64_t>(row.size, INT64_MAX / 2));
      std::vector<Change>& mine = (*parts)[part_of(row.id)];
      mine.push_back({row.alloc_ns, bytes});
      if (end != trace::kNever) mine.push_back({end, -bytes});
    }
  });
}

}  // namespace tidemark::viewer
