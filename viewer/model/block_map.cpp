#include "tidemark/viewer/block_map.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <queue>
#include <tuple>

namespace tidemark::viewer {
namespace {

size_t class_of(const Bar& bar) {
  const auto duration = static_cast<uint64_t>(bar.end_ns) - static_cast<uint64_t>(bar.begin_ns);
  return static_cast<size_t>(std::bit_width(duration)) - 1;
}

// Offsets for lifetimes in order of process and address: what was never used takes no room.
uint64_t squeeze(std::vector<Lifetime>& lifetimes, std::vector<Bar>* bars) {
  std::sort(lifetimes.begin(), lifetimes.end(), [](const Lifetime& a, const Lifetime& b) {
    return std::tie(a.process, a.address) < std::tie(b.process, b.address);
  });
  uint64_t height = 0;       // all that lies below the current range
  uint64_t range_begin = 0;  // its first address
  uint64_t range_end = 0;    // and the one behind its last
  trace::ProcessId process{};
  for (const Lifetime& life : lifetimes) {
    if (life.bytes == 0 || life.end_ns <= life.begin_ns) continue;
    // A damaged trace may hold sizes that reach beyond the address space.
    const uint64_t end =
        life.bytes > UINT64_MAX - life.address ? UINT64_MAX : life.address + life.bytes;
    if (life.process != process || life.address > range_end) {
      height += range_end - range_begin;
      process = life.process;
      range_begin = life.address;
      range_end = end;
    }
    range_end = std::max(range_end, end);
    bars->push_back({life.begin_ns, life.end_ns, life.bytes, height + (life.address - range_begin),
                     0, life.id});
  }
  return height + (range_end - range_begin);
}

// Fills in `packed`; returns the height. Each takes the lane of its size that is free longest.
uint64_t pack_by_size(std::vector<Bar>* bars) {
  std::sort(bars->begin(), bars->end(), [](const Bar& a, const Bar& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes
                              : std::tie(a.begin_ns, a.id) < std::tie(b.begin_ns, b.id);
  });
  using Lane = std::pair<int64_t, uint64_t>;  // when it is free again, its offset
  std::priority_queue<Lane, std::vector<Lane>, std::greater<>> lanes;
  uint64_t height = 0;
  uint64_t bytes = 0;
  for (Bar& bar : *bars) {
    if (bar.bytes != bytes) lanes = {};
    bytes = bar.bytes;
    if (!lanes.empty() && lanes.top().first <= bar.begin_ns) {
      bar.packed = lanes.top().second;
      lanes.pop();
    } else {
      bar.packed = height;
      height += bar.bytes;
    }
    lanes.emplace(bar.end_ns, bar.packed);
  }
  return height;
}

}  // namespace

BlockMap::BlockMap(const analyzer::Series& series, std::vector<Lifetime> lifetimes, uint64_t unseen,
                   uint64_t unseen_up_to)
    : series_(series), unseen_(unseen), unseen_up_to_(unseen_up_to) {
  bars_.reserve(lifetimes.size());
  height_ = squeeze(lifetimes, &bars_);
  std::vector<Lifetime>().swap(lifetimes);
  packed_height_ = pack_by_size(&bars_);
  std::sort(bars_.begin(), bars_.end(), [](const Bar& a, const Bar& b) {
    return std::tuple(class_of(a), a.begin_ns, a.id) < std::tuple(class_of(b), b.begin_ns, b.id);
  });
  std::vector<uint64_t> sizes;
  sizes.reserve(bars_.size());
  for (const Bar& bar : bars_) {
    ++starts_.at(class_of(bar) + 1);
    sizes.push_back(bar.bytes);
  }
  for (size_t i = 0; i < kClasses; ++i) starts_.at(i + 1) += starts_.at(i);
  sizes_ = MaxTree(std::move(sizes));
}

BlockMap::Run BlockMap::candidates(size_t klass, int64_t begin_ns, int64_t end_ns) const {
  const auto first = bars_.begin() + static_cast<std::ptrdiff_t>(starts_.at(klass));
  const auto last = bars_.begin() + static_cast<std::ptrdiff_t>(starts_.at(klass + 1));
  const auto begins_before = [](const Bar& bar, int64_t time) { return bar.begin_ns < time; };
  // Nothing in the class lives longer than this.
  const int64_t longest = klass >= 62 ? INT64_MAX : (int64_t{2} << klass) - 1;
  const int64_t from = begin_ns < INT64_MIN + longest ? INT64_MIN : begin_ns - longest;
  const auto low = std::lower_bound(first, last, from, begins_before);
  const auto high = std::lower_bound(low, last, end_ns, begins_before);
  return {static_cast<size_t>(low - bars_.begin()), static_cast<size_t>(high - bars_.begin())};
}

bool BlockMap::query(int64_t begin_ns, int64_t end_ns, size_t limit, std::vector<Bar>* out) const {
  out->clear();
  std::array<Run, kClasses> runs;
  size_t count = 0;
  for (size_t k = 0; k < kClasses; ++k) {
    runs.at(k) = candidates(k, begin_ns, end_ns);
    count += runs.at(k).last - runs.at(k).first;
  }
  const auto lives = [&](const Bar& bar) { return bar.end_ns > begin_ns; };
  if (count <= limit) {
    for (const Run& run : runs) {
      for (size_t i = run.first; i < run.last; ++i) {
        if (lives(bars_[i])) out->push_back(bars_[i]);
      }
    }
    return true;
  }
  MaxTree::Descent descent;
  for (const Run& run : runs) descent.add(sizes_, run.first, run.last, 0);
  MaxTree::Descent::Place place;
  while (descent.next(&place)) {
    if (!lives(bars_[place.index])) continue;
    if (out->size() == limit) return false;
    out->push_back(bars_[place.index]);
  }
  return true;
}

const Bar* BlockMap::find(trace::AllocationId id) const {
  const auto found =
      std::find_if(bars_.begin(), bars_.end(), [&](const Bar& bar) { return bar.id == id; });
  return found == bars_.end() ? nullptr : &*found;
}

const Bar* BlockMap::find(trace::AllocationId id, int64_t begin_ns) const {
  for (size_t k = 0; k < kClasses; ++k) {
    const auto last = bars_.begin() + static_cast<std::ptrdiff_t>(starts_.at(k + 1));
    auto bar =
        std::lower_bound(bars_.begin() + static_cast<std::ptrdiff_t>(starts_.at(k)), last, begin_ns,
                         [](const Bar& one, int64_t time) { return one.begin_ns < time; });
    for (; bar != last && bar->begin_ns == begin_ns; ++bar) {
      if (bar->id == id) return &*bar;
    }
  }
  return nullptr;
}

const Bar* BlockMap::neighbour(const Bar& bar, bool forward) const {
  const auto key = [](const Bar& b) { return std::tuple(b.begin_ns, b.id); };
  const Bar* best = nullptr;
  for (const Bar& other : bars_) {
    if (forward ? key(other) <= key(bar) : key(other) >= key(bar)) continue;
    if (best == nullptr || (forward ? key(other) < key(*best) : key(other) > key(*best))) {
      best = &other;
    }
  }
  return best;
}

}  // namespace tidemark::viewer
