// Best fit with joining over memory that is added in regions: what the pools of the driver and the
// arena of TensorFlow have in common.
#pragma once

#include <algorithm>
#include <vector>

#include "blocks.h"
#include "free_index.h"
#include "tidemark/analyzer/allocator_model.h"

namespace tidemark::analyzer {

class Regions {
 public:
  const Block& operator[](uint32_t block) const { return blocks_[block]; }

  void add(uint64_t address, uint64_t bytes) {
    const uint32_t id = blocks_.create();
    blocks_[id].address = address;
    blocks_[id].bytes = bytes;
    put(id);
  }
  // The smallest free block that is large enough, or kNoBlock; of equal ones the lowest.
  uint32_t best_fit(uint64_t bytes) const { return free_.lower_bound(blocks_, bytes, 0); }
  // Hands out all of a free block, or its first `bytes`.
  uint32_t take(uint32_t block) {
    free_.erase(blocks_, block);
    blocks_[block].state = BlockState::kAllocated;
    return block;
  }
  uint32_t take_front(uint32_t block, uint64_t bytes) {
    free_.erase(blocks_, block);
    const uint32_t front = blocks_.cut_front(block, bytes);
    free_.insert(blocks_, block);
    blocks_[front].state = BlockState::kAllocated;
    return front;
  }
  // The free block that it became part of.
  uint32_t give(uint32_t block) {
    const uint32_t next = blocks_[block].next;
    if (is_free(next)) {
      free_.erase(blocks_, next);
      blocks_.absorb_next(block);
    }
    const uint32_t previous = blocks_[block].previous;
    if (is_free(previous)) {
      free_.erase(blocks_, previous);
      blocks_.absorb_next(previous);
      block = previous;
    }
    put(block);
    return block;
  }
  // A free block that is a whole region goes.
  void remove(uint32_t block) {
    free_.erase(blocks_, block);
    blocks_.recycle(block);
  }
  // Free blocks that are whole regions, the highest address first.
  std::vector<uint32_t> whole() const {
    std::vector<uint32_t> all;
    for (uint32_t block = free_.first(blocks_); block != kNoBlock;
         block = free_.next(blocks_, block)) {
      if (blocks_[block].whole_segment()) all.push_back(block);
    }
    std::sort(all.begin(), all.end(),
              [&](uint32_t a, uint32_t b) { return blocks_[a].address > blocks_[b].address; });
    return all;
  }
  uint64_t largest_free_bytes() const { return free_.largest_bytes(blocks_); }

  std::vector<Segment> segments() const {
    std::vector<Segment> all;
    for (uint32_t id = 0; id < blocks_.count(); ++id) {
      if (blocks_[id].state == BlockState::kUnused || blocks_[id].previous != kNoBlock) continue;
      Segment segment;
      segment.address = blocks_[id].address;
      for (uint32_t at = id; at != kNoBlock; at = blocks_[at].next) {
        segment.bytes += blocks_[at].bytes;
        segment.blocks.push_back(
            {blocks_[at].address, blocks_[at].bytes,
             is_free(at) ? SegmentBlock::State::kFree : SegmentBlock::State::kAllocated});
      }
      all.push_back(std::move(segment));
    }
    std::sort(all.begin(), all.end(),
              [](const Segment& a, const Segment& b) { return a.address < b.address; });
    return all;
  }

 private:
  bool is_free(uint32_t block) const {
    return block != kNoBlock && blocks_[block].state == BlockState::kFree;
  }
  void put(uint32_t block) {
    blocks_[block].state = BlockState::kFree;
    free_.insert(blocks_, block);
  }

  Blocks blocks_;
  FreeIndex free_;
};

}  // namespace tidemark::analyzer
