// PyTorch splits what it does not need off a block of the large pool only where more than 1 MiB is
// left. So a recorded block of s bytes was a request of s where something was split off behind it,
// and of up to 1 MiB less where it was taken whole. Which of the two it was can be told: the
// addresses of all blocks and segments are recorded.
//
//   segment  [ A 20 MiB ][ hole 6.5 MiB ][ B … ]    request of 6 MiB at the hole
//            becomes a block of 6.5 MiB: taken whole, since only 0.5 MiB would be left
//
// What a block that was taken whole was asked for is then known from the same operator elsewhere.
#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

#include "schedule_parts.h"

namespace tidemark::analyzer {
namespace {

constexpr uint64_t kMebibyte = uint64_t{1} << 20;

struct Event {
  int64_t position;
  bool alloc;
  uint32_t block;
};

std::vector<Event> events_of(const Schedule& schedule) {
  std::vector<Event> events;
  for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
    events.push_back({schedule.blocks[i].begin, true, i});
    if (schedule.blocks[i].end != ScheduledBlock::kForever) {
      events.push_back({schedule.blocks[i].end, false, i});
    }
  }
  std::ranges::sort(events, [](const Event& a, const Event& b) { return a.position < b.position; });
  return events;
}

uint64_t segment_end(const std::vector<Raw::Segment>& segments, const Raw::Block& block) {
  for (const Raw::Segment& segment : segments) {
    if (segment.address <= block.address && block.address < segment.address + segment.bytes &&
        segment.alloc_ns <= block.alloc_ns && block.alloc_ns < segment.free_ns) {
      return segment.address + segment.bytes;
    }
  }
  return 0;  // not recorded
}

// Whether the block filled the hole that it was put into, so that it may be larger than asked for.
std::vector<bool> taken_whole(const Raw& raw, const Schedule& schedule) {
  std::vector<bool> whole(schedule.blocks.size());
  std::map<uint64_t, uint32_t> live;
  for (const Event& event : events_of(schedule)) {
    const Raw::Block& block = raw.blocks[event.block];
    if (!event.alloc) {
      live.erase(block.address);
      continue;
    }
    const auto next = live.upper_bound(block.address);
    const uint64_t end = block.address + block.bytes;
    const bool at_next = next != live.end() && next->first == end;
    whole[event.block] =
        block.bytes > kMebibyte && (at_next || end == segment_end(raw.segments, block));
    live[block.address] = event.block;
  }
  return whole;
}

}  // namespace

void recover_requests(const Raw& raw, Schedule& schedule) {
  const auto whole = taken_whole(raw, schedule);
  // Of each stack, the sizes that are known, and how often.
  std::unordered_map<uint32_t, std::map<uint64_t, uint32_t>> known;
  for (size_t i = 0; i < schedule.blocks.size(); ++i) {
    if (!whole[i]) ++known[raw.blocks[i].stack][raw.blocks[i].bytes];
  }
  for (size_t i = 0; i < schedule.blocks.size(); ++i) {
    if (!whole[i]) continue;
    const uint64_t most = raw.blocks[i].bytes;
    const auto sizes = known.find(raw.blocks[i].stack);
    if (sizes == known.end()) continue;
    // Of what fits, what the operator asked for most often; of equals the largest.
    uint32_t times = 0;
    for (auto size = sizes->second.upper_bound(most - kMebibyte);
         size != sizes->second.end() && size->first <= most; ++size) {
      if (size->second >= times) {
        times = size->second;
        schedule.blocks[i].bytes = size->first;
      }
    }
  }
}

}  // namespace tidemark::analyzer
