// When a lifetime ends: as it was freed, else with its process. The rule of the analyzer's curves.
#pragma once

#include <unordered_map>

#include "tidemark/analyzer/usage.h"

namespace tidemark::viewer {

class LifetimeEnds {
 public:
  explicit LifetimeEnds(const trace::Reader& reader) {
    for (const trace::Process& process : reader.processes()) {
      ends_[static_cast<int32_t>(process.id)] = process.end_ns;
    }
  }
  // kNever: neither is known.
  int64_t end_ns(const trace::Allocation& row) const {
    if (row.free_ns != trace::kNever) return row.free_ns;
    const auto known = ends_.find(static_cast<int32_t>(row.process));
    return known == ends_.end() ? trace::kNever : known->second;
  }

 private:
  std::unordered_map<int32_t, int64_t> ends_;
};

inline analyzer::Series series_of(const trace::Allocation& row) {
  return {row.layer, row.space, row.space == trace::Space::kDevice ? row.device : trace::kNoDevice};
}

inline trace::AllocationFilter filter_for(const analyzer::Series& series) {
  trace::AllocationFilter filter;
  filter.layer = series.layer;
  filter.space = series.space;
  if (series.space == trace::Space::kDevice) filter.device = series.device;
  return filter;
}

}  // namespace tidemark::viewer
