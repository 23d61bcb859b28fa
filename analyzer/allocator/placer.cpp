#include <algorithm>
#include <map>

#include "tidemark/analyzer/allocator_model.h"

namespace tidemark::analyzer {
namespace {

constexpr uint64_t kRange = uint64_t{32} << 20;

class DescendingPlacer final : public SegmentPlacer {
 public:
  explicit DescendingPlacer(uint64_t below) : lowest_(below / kRange * kRange) {}

  uint64_t place(uint64_t bytes, uint32_t /*stream*/) override {
    for (auto& [address, range] : ranges_) {
      if (range.bytes - range.used >= bytes) return take(address, range, bytes);
    }
    const uint64_t size = (bytes + kRange - 1) / kRange * kRange;
    const uint64_t address = room_for(size);
    Range& range = ranges_[address];
    range.bytes = size;
    return take(address, range, bytes);
  }
  // A range goes back with the last segment in it; holes in one are not filled again.
  void release(uint64_t address, uint64_t /*bytes*/) override {
    auto found = ranges_.upper_bound(address);
    if (found == ranges_.begin()) return;
    --found;
    if (--found->second.segments == 0) {
      gaps_[found->first] = found->second.bytes;
      ranges_.erase(found);
    }
  }

 private:
  struct Range {
    uint64_t bytes = 0;
    uint64_t used = 0;
    uint64_t segments = 0;
  };
  static uint64_t take(uint64_t address, Range& range, uint64_t bytes) {
    const uint64_t at = address + range.used;
    range.used += bytes;
    ++range.segments;
    return at;
  }
  // The top of the highest gap that is large enough, or else below all.
  uint64_t room_for(uint64_t bytes) {
    for (auto gap = gaps_.rbegin(); gap != gaps_.rend(); ++gap) {
      if (gap->second < bytes) continue;
      const uint64_t address = gap->first + gap->second - bytes;
      gap->second -= bytes;
      if (gap->second == 0) gaps_.erase(std::next(gap).base());
      return address;
    }
    lowest_ -= bytes;
    return lowest_;
  }

  uint64_t lowest_;
  std::map<uint64_t, Range> ranges_;
  std::map<uint64_t, uint64_t> gaps_;  // given back; not joined: what comes is of the same sizes
};

}  // namespace

std::unique_ptr<SegmentPlacer> descending_placer(uint64_t below_address) {
  return std::make_unique<DescendingPlacer>(below_address);
}

}  // namespace tidemark::analyzer
