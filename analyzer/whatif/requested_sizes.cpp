// PyTorch splits what it does not need off a block of the large pool only where more than 1 MiB is
// left. So a recorded block of s bytes was a request of s where something was split off behind it,
// and of up to 1 MiB less where it was taken whole. Which of the two it was can be told: the
// addresses of all blocks and segments are recorded.
//
//   segment  [ A 20 MiB ][ hole 6.5 MiB ][ B … ]    request of 6 MiB at the hole
//            becomes a block of 6.5 MiB: taken whole, since only 0.5 MiB would be left
//
// What a block that was taken whole was asked for is then known from elsewhere: from the same call
// in another step (the n-th from one stack), in the optimizer from what it makes for the same
// parameter (the n-th of a stack with as many blocks), from the same operator, or from what kernels
// use together with it.
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

std::vector<Event> moments_of(const Schedule& schedule) {
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
  for (const Event& event : moments_of(schedule)) {
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

using Sizes = std::map<uint64_t, uint32_t>;  // and how often each was asked for

// Where a block stands among those that its stack made in its step.
struct Ordinal {
  uint32_t at = 0;
  uint32_t of = 0;
};

std::vector<Ordinal> ordinals(const Raw& raw, const Schedule& schedule) {
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> counts;  // of each stack in each step
  std::vector<Ordinal> result(schedule.blocks.size());
  const auto key = [&](size_t i) {
    return std::pair(raw.blocks[i].stack, schedule.blocks[i].iteration);
  };
  for (size_t i = 0; i < result.size(); ++i) result[i].at = counts[key(i)]++;
  for (size_t i = 0; i < result.size(); ++i) result[i].of = counts[key(i)];
  return result;
}

// Of what a block of `recorded` can have been asked for, what was most often; of equals the
// largest. 0: none of `sizes`. A remainder of exactly 1 MiB is not split off either, and what is of
// no more than 1 MiB itself comes from the other pool.
uint64_t likeliest(const Sizes& sizes, uint64_t recorded, uint64_t most) {
  uint32_t times = 0;
  uint64_t result = 0;
  for (auto size = sizes.lower_bound(std::max(recorded - kMebibyte, kMebibyte + 1));
       size != sizes.end() && size->first <= most; ++size) {
    if (size->second < times) continue;
    times = size->second;
    result = size->first;
  }
  return result;
}

class Requests {
 public:
  Requests(const Raw& raw, const Schedule& schedule)
      : raw_(raw),
        schedule_(schedule),
        whole_(taken_whole(raw, schedule)),
        ordinals_(ordinals(raw, schedule)) {
    for (size_t i = 0; i < whole_.size(); ++i) {
      const uint64_t bytes = raw_.blocks[i].bytes;
      uint64_t& least = least_.try_emplace(call(i), bytes).first->second;
      least = std::min(least, bytes);
      if (whole_[i]) continue;
      ++of_stack_[raw_.blocks[i].stack][bytes];
      if (schedule_.blocks[i].iteration == 0) continue;
      ++of_call_[call(i)][bytes];
      if (in_optimizer(i)) ++of_parameter_[parameter(i)][bytes];
    }
  }

  // 0: not known.
  uint64_t request(size_t i) const {
    const uint64_t recorded = raw_.blocks[i].bytes;
    if (!whole_[i]) return recorded;
    const uint64_t most = this->most(i);
    if (schedule_.blocks[i].iteration != 0) {
      if (const uint64_t same = of(of_call_, call(i), recorded, most)) return same;
      if (in_optimizer(i)) {
        if (const uint64_t same = of(of_parameter_, parameter(i), recorded, most)) return same;
      }
    }
    const auto sizes = of_stack_.find(raw_.blocks[i].stack);
    return sizes == of_stack_.end() ? 0 : likeliest(sizes->second, recorded, most);
  }

  // What it was asked for is no more than the least that its call was given.
  uint64_t most(size_t i) const {
    return schedule_.blocks[i].iteration == 0 ? raw_.blocks[i].bytes : least_.at(call(i));
  }

 private:
  using Key = std::pair<uint32_t, uint32_t>;
  Key call(size_t i) const { return {raw_.blocks[i].stack, ordinals_[i].at}; }
  Key parameter(size_t i) const { return {ordinals_[i].of, ordinals_[i].at}; }
  bool in_optimizer(size_t i) const { return schedule_.blocks[i].phase == Phase::kOptimizer; }
  static uint64_t of(const std::map<Key, Sizes>& known, const Key& key, uint64_t recorded,
                     uint64_t most) {
    const auto sizes = known.find(key);
    return sizes == known.end() ? 0 : likeliest(sizes->second, recorded, most);
  }

  const Raw& raw_;
  const Schedule& schedule_;
  std::vector<bool> whole_;
  std::vector<Ordinal> ordinals_;
  std::map<Key, uint64_t> least_;  // that a call was given
  std::map<Key, Sizes> of_call_;
  std::map<Key, Sizes> of_parameter_;
  std::unordered_map<uint32_t, Sizes> of_stack_;
};

}  // namespace

namespace {

// Of each block that `open` says, the known sizes of what kernels use with it: tensors of one shape
// meet. Scratch has no shape.
std::vector<Sizes> met_by(const Schedule& schedule, const std::vector<bool>& open) {
  std::vector<Sizes> met(open.size());
  for (const DeviceWork& work : schedule.work) {
    const auto blocks = schedule.blocks_of(work);
    for (const uint32_t i : blocks) {
      if (!open[i]) continue;
      for (const uint32_t other : blocks) {
        const bool scratch = schedule.blocks[other].category == Category::kWorkspace;
        if (!open[other] && !scratch) ++met[i][schedule.blocks[other].bytes];
      }
    }
  }
  return met;
}

}  // namespace

void recover_requests(const Raw& raw, Schedule& schedule) {
  const Requests requests(raw, schedule);
  std::vector<bool> open(schedule.blocks.size());
  for (size_t i = 0; i < open.size(); ++i) {
    const uint64_t bytes = requests.request(i);
    open[i] = bytes == 0;
    schedule.blocks[i].bytes = open[i] ? requests.most(i) : bytes;
  }
  const auto met = met_by(schedule, open);
  for (size_t i = 0; i < open.size(); ++i) {
    const uint64_t bytes = likeliest(met[i], raw.blocks[i].bytes, requests.most(i));
    if (bytes != 0) schedule.blocks[i].bytes = bytes;
  }
}

}  // namespace tidemark::analyzer
