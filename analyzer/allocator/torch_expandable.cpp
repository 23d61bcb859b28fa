// Expandable segments: one range of addresses for each stream and pool, 1 1/8 as large as the card,
// of which whole pages are mapped from below as they are needed and unmapped where nothing lies in
// them any more.
#include <algorithm>
#include <cassert>

#include "torch_allocator.h"

namespace tidemark::analyzer {
namespace {
// The card's size where no capacity is given. Only how far a segment can grow depends on it.
constexpr uint64_t kUnknownCard = uint64_t{1} << 40;
}  // namespace

uint64_t TorchAllocator::page_bytes(const Arena& arena) const {
  return arena.small ? kTorchSmallSegment : settings_.large_segment_bytes;
}

// The size that counts for best fit is what a block could grow to: a free block in front of the
// unmapped rest is taken only when no other one is smaller than both together.
uint32_t TorchAllocator::past_expandable(const FreeIndex& free, uint32_t block) const {
  const auto reach = [&](uint32_t id) {
    const uint32_t behind = blocks_[id].next;
    const bool grows = behind != kNoBlock && blocks_[behind].state == BlockState::kUnmapped;
    return blocks_[id].bytes + (grows ? blocks_[behind].bytes : 0);
  };
  // One that cannot grow reaches no further than any behind it in the order.
  while (reach(block) > blocks_[block].bytes) {
    const uint32_t next = free.next(blocks_, block);
    if (next == kNoBlock || reach(next) >= reach(block)) break;
    block = next;
  }
  return block;
}

uint32_t TorchAllocator::grow_expandable(uint32_t arena, uint64_t rounded) {
  uint32_t block = expandable_room(arena, rounded);
  // Here: unmapped, or free with unmapped behind it. What got mapped stays so when a later page is
  // refused.
  if (blocks_[block].state == BlockState::kUnmapped) {
    if (!map(block, std::min(blocks_[block].bytes, rounded))) return kNoBlock;
  }
  while (blocks_[block].bytes < rounded) {
    const uint32_t unmapped = blocks_[block].next;
    const uint64_t missing = rounded - blocks_[block].bytes;
    if (!map(unmapped, std::min(missing, blocks_[unmapped].bytes))) return kNoBlock;
    block = unmapped;
  }
  return block;
}

// The lowest address from which enough is free or unmapped; a new segment where there is none.
uint32_t TorchAllocator::expandable_room(uint32_t arena_id, uint64_t rounded) {
  Arena& arena = *arenas_[arena_id];
  for (uint32_t block : arena.unmapped) {
    const uint32_t previous = blocks_[block].previous;
    if (is_free(previous)) block = previous;
    if (has_room(block, rounded)) return block;
  }
  const uint64_t page = page_bytes(arena);
  const uint64_t card = capacity_.value_or(kUnknownCard);
  const uint64_t range = (card + card / 8 + page - 1) / page * page;
  const uint32_t id = blocks_.create();
  blocks_[id].address = placer_->place(range, arena.stream);
  blocks_[id].bytes = range;
  blocks_[id].arena = arena_id;
  blocks_[id].expandable = true;
  add_unmapped(id);
  return id;
}

bool TorchAllocator::has_room(uint32_t block, uint64_t rounded) const {
  uint64_t bytes = 0;
  while (bytes < rounded && block != kNoBlock) {
    const BlockState state = blocks_[block].state;
    if (state != BlockState::kFree && state != BlockState::kUnmapped) return false;
    bytes += blocks_[block].bytes;
    block = blocks_[block].next;
  }
  return bytes >= rounded;
}

// Pages for the first `bytes` of an unmapped block, which then is free and joined with its
// neighbours; its name stays. False: the card is full.
bool TorchAllocator::map(uint32_t block, uint64_t bytes) {
  Arena& arena = *arenas_[blocks_[block].arena];
  const uint64_t page = page_bytes(arena);
  const uint64_t mapped = (bytes + page - 1) / page * page;
  if (!driver_has(mapped)) return false;
  remove_unmapped(block);
  if (mapped < blocks_[block].bytes) {
    // The unmapped rest is what changes its name.
    const uint32_t front = blocks_.cut_front(block, mapped);
    std::swap(blocks_[front], blocks_[block]);
    blocks_[block].next = front;
    blocks_[front].previous = block;
    if (blocks_[block].previous != kNoBlock) blocks_[blocks_[block].previous].next = block;
    if (blocks_[front].next != kNoBlock) blocks_[blocks_[front].next].previous = front;
    add_unmapped(front);
  }
  count_reserved(mapped);
  join_free_neighbours(block);
  put(block);
  return true;
}

// Takes free neighbours out of the index and into `block`, which is in no index itself.
void TorchAllocator::join_free_neighbours(uint32_t block) {
  const uint32_t next = blocks_[block].next;
  if (is_free(next)) {
    take_out(next);
    blocks_.absorb_next(block);
  }
  const uint32_t previous = blocks_[block].previous;
  if (is_free(previous)) {
    take_out(previous);
    blocks_[block].address = blocks_[previous].address;
    blocks_[block].bytes += blocks_[previous].bytes;
    blocks_[block].previous = blocks_[previous].previous;
    if (blocks_[block].previous != kNoBlock) blocks_[blocks_[block].previous].next = block;
    blocks_.recycle(previous);
  }
}

// Of a free block, the whole pages in it. A segment without any mapped page is given up.
void TorchAllocator::unmap(uint32_t block) {
  Arena& arena = *arenas_[blocks_[block].arena];
  const uint64_t page = page_bytes(arena);
  // Ranges begin at multiples of their page, for the placer gives addresses of their alignment.
  uint32_t head = block;
  while (blocks_[head].previous != kNoBlock) head = blocks_[head].previous;
  const uint64_t base = blocks_[head].address;
  const uint64_t begin = (blocks_[block].address - base + page - 1) / page * page + base;
  const uint64_t end = (blocks_[block].address + blocks_[block].bytes - base) / page * page + base;
  if (begin >= end) return;
  take_out(block);
  const uint64_t before = begin - blocks_[block].address;
  if (before > 0) put(blocks_.cut_front(block, before));
  if (end < blocks_[block].address + blocks_[block].bytes) {
    const uint32_t rest = block;
    block = blocks_.cut_front(rest, end - begin);
    put(rest);
  }
  count_released(end - begin);
  const uint32_t next = blocks_[block].next;
  if (next != kNoBlock && blocks_[next].state == BlockState::kUnmapped) {
    remove_unmapped(next);
    blocks_.absorb_next(block);
  }
  const uint32_t previous = blocks_[block].previous;
  if (previous != kNoBlock && blocks_[previous].state == BlockState::kUnmapped) {
    remove_unmapped(previous);
    blocks_.absorb_next(previous);
    block = previous;
  }
  add_unmapped(block);
  if (blocks_[block].whole_segment()) {
    remove_unmapped(block);
    placer_->release(blocks_[block].address, blocks_[block].bytes);
    blocks_.recycle(block);
  }
}

void TorchAllocator::add_unmapped(uint32_t block) {
  std::vector<uint32_t>& unmapped = arenas_[blocks_[block].arena]->unmapped;
  blocks_[block].state = BlockState::kUnmapped;
  const auto at =
      std::lower_bound(unmapped.begin(), unmapped.end(), blocks_[block].address,
                       [&](uint32_t a, uint64_t address) { return blocks_[a].address < address; });
  unmapped.insert(at, block);
}

void TorchAllocator::remove_unmapped(uint32_t block) {
  std::vector<uint32_t>& unmapped = arenas_[blocks_[block].arena]->unmapped;
  const auto at = std::find(unmapped.begin(), unmapped.end(), block);
  assert(at != unmapped.end());
  unmapped.erase(at);
}

}  // namespace tidemark::analyzer
