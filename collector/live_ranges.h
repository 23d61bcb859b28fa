// Blocks that live, by address: which one holds an address, whichever part of it. One thread.
#pragma once

#include <cstdint>
#include <map>

#include "tidemark/trace/types.h"

namespace tidemark::collector {

class LiveRanges {
 public:
  // A range that lived at the same start ends.
  void add(uint64_t start, uint64_t bytes, trace::AllocationId row) {
    ranges_.insert_or_assign(start, Range{bytes, row});
  }
  // Its bytes; 0: none starts there.
  uint64_t remove(uint64_t start) {
    const auto found = ranges_.find(start);
    if (found == ranges_.end()) return 0;
    const uint64_t bytes = found->second.bytes;
    ranges_.erase(found);
    return bytes;
  }
  // Those that start in [start, start + bytes).
  void remove_within(uint64_t start, uint64_t bytes) {
    ranges_.erase(ranges_.lower_bound(start), ranges_.lower_bound(start + bytes));
  }
  // The range with the nearest start, so that one whose end was missed does not hide what has come
  // after it. Id 0: none.
  [[nodiscard]] trace::AllocationId at(uint64_t address) const {
    const auto after = ranges_.upper_bound(address);
    if (after == ranges_.begin()) return {};
    const auto& [start, range] = *std::prev(after);
    return address - start < range.bytes ? range.row : trace::AllocationId{};
  }

 private:
  struct Range {
    uint64_t bytes;
    trace::AllocationId row;
  };
  std::map<uint64_t, Range> ranges_;
};

}  // namespace tidemark::collector
