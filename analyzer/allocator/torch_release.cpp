// What gives memory back: blocks whose uses by other streams ended, garbage collection, oversize
// blocks on a miss, and everything cached on a full card or by empty_cache.
#include <algorithm>
#include <cassert>

#include "torch_allocator.h"

namespace tidemark::analyzer {

// PyTorch polls its events at the start of each allocation.
void TorchAllocator::take_back_ended() {
  for (const uint64_t ticket : ended_) {
    const auto found = std::find_if(pending_.begin(), pending_.end(),
                                    [&](const Pending& one) { return one.ticket == ticket; });
    if (found == pending_.end()) continue;  // a full card had all of them waited for
    const uint32_t block = found->block;
    pending_.erase(found);
    put_back(block);
  }
  ended_.clear();
}

void TorchAllocator::empty_cache() { release_cached(); }

void TorchAllocator::release_cached() {
  ended_.clear();
  for (const Pending& one : pending_) put_back(one.block);
  pending_.clear();
  for (const bool small : {false, true}) {
    for (const auto& arena : arenas_) {
      if (arena->small == small) release_arena(*arena);
    }
  }
}

void TorchAllocator::release_arena(Arena& arena) {
  std::vector<uint32_t> whole;
  std::vector<uint32_t> expandable;
  for (uint32_t block = arena.free.first(blocks_); block != kNoBlock;
       block = arena.free.next(blocks_, block)) {
    if (blocks_[block].expandable) {
      expandable.push_back(block);
    } else if (blocks_[block].whole_segment()) {
      whole.push_back(block);
    }
  }
  for (const uint32_t block : whole) release_segment(block);
  for (const uint32_t block : expandable) unmap(block);
}

void TorchAllocator::release_segment(uint32_t block) {
  assert(blocks_[block].whole_segment() && !blocks_[block].expandable);
  take_out(block);
  placer_->release(blocks_[block].address, blocks_[block].bytes);
  count_released(blocks_[block].bytes);
  blocks_.recycle(block);
}

// Above the threshold: whole cached segments of the large pool that have been free for longer than
// the average, again and again until enough is back. A block's age is how often its pool was
// searched since it became free.
void TorchAllocator::collect_garbage() {
  const auto threshold = static_cast<uint64_t>(settings_.garbage_collection_threshold *
                                               static_cast<double>(*allowed_));
  if (reserved_bytes() <= threshold) return;
  const uint64_t target = reserved_bytes() - threshold;
  const uint64_t now = searches_[0];
  std::vector<uint32_t> left;
  uint64_t ages = 0;
  for (const auto& arena : arenas_) {
    if (arena->small) continue;
    for (uint32_t block = arena->free.first(blocks_); block != kNoBlock;
         block = arena->free.next(blocks_, block)) {
      if (!blocks_[block].whole_segment() || blocks_[block].expandable) continue;
      left.push_back(block);
      ages += now - blocks_[block].born;
    }
  }
  uint64_t reclaimed = 0;
  bool freed = true;
  while (reclaimed < target && freed && !left.empty()) {
    const double oldest = static_cast<double>(ages) / static_cast<double>(left.size());
    freed = false;
    std::vector<uint32_t> kept;
    for (const uint32_t block : left) {
      const uint64_t age = now - blocks_[block].born;
      if (static_cast<double>(age) < oldest) {
        kept.push_back(block);
        continue;
      }
      freed = true;
      reclaimed += blocks_[block].bytes;
      ages -= age;
      release_segment(block);
    }
    left = std::move(kept);
  }
}

// With a max_split_size only. Blocks at or above it are whole segments; one that is as large as the
// request goes back, or else the largest of them until their sum is. False: that was not enough, or
// there was none; what went back is gone all the same.
bool TorchAllocator::release_oversize(uint32_t arena, uint64_t rounded) {
  const uint64_t limit = settings_.max_split_size_bytes;
  if (limit == TorchAllocatorSettings::kNoLimit) return false;
  const FreeIndex& free = arenas_[arena]->free;
  const uint64_t wanted = std::max(rounded, limit);
  const uint32_t enough = free.lower_bound(blocks_, wanted, 0);
  if (enough != kNoBlock && !blocks_[enough].expandable) {
    release_segment(enough);
    return true;
  }
  std::vector<uint32_t> oversize;
  for (uint32_t block = free.lower_bound(blocks_, limit, 0); block != kNoBlock;
       block = free.next(blocks_, block)) {
    if (!blocks_[block].expandable) oversize.push_back(block);
  }
  uint64_t released = 0;
  while (!oversize.empty() && released < wanted) {
    released += blocks_[oversize.back()].bytes;
    release_segment(oversize.back());
    oversize.pop_back();
  }
  return released >= wanted;
}

}  // namespace tidemark::analyzer
