// Blocks and their neighbours, in one array with reuse: what every model here is built on. A handle
// is an index; neighbours by address within one segment are links.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace tidemark::analyzer {

constexpr uint32_t kNoBlock = std::numeric_limits<uint32_t>::max();

enum class BlockState : uint8_t {
  kUnused,  // an entry of the array that stands for no block
  kFree,
  kAllocated,
  kPending,   // freed, but in use by another stream
  kUnmapped,  // a part of an expandable segment's address range without memory behind it
};

struct Block {
  uint64_t address = 0;
  uint64_t bytes = 0;
  uint64_t born = 0;  // the arena's clock when it became free: only for garbage collection
  uint32_t previous = kNoBlock;
  uint32_t next = kNoBlock;
  uint32_t left = kNoBlock;  // these two are FreeIndex's
  uint32_t right = kNoBlock;
  uint32_t arena = 0;
  BlockState state = BlockState::kUnused;
  bool expandable = false;

  bool whole_segment() const { return previous == kNoBlock && next == kNoBlock; }
};

class Blocks {
 public:
  Block& operator[](uint32_t id) { return blocks_[id]; }
  const Block& operator[](uint32_t id) const { return blocks_[id]; }
  uint32_t count() const { return static_cast<uint32_t>(blocks_.size()); }

  // The new block is kUnused until the caller says what it is. References to others break.
  uint32_t create() {
    if (reusable_ == kNoBlock) {
      blocks_.emplace_back();
      return count() - 1;
    }
    const uint32_t id = reusable_;
    reusable_ = blocks_[id].next;
    blocks_[id] = Block{};
    return id;
  }
  void recycle(uint32_t id) {
    blocks_[id].state = BlockState::kUnused;
    blocks_[id].next = reusable_;
    reusable_ = id;
  }

  // Cuts the first `bytes` off block `id`: those become the returned block, of the same arena.
  uint32_t cut_front(uint32_t id, uint64_t bytes) {
    const uint32_t front_id = create();
    Block& rest = blocks_[id];
    Block& front = blocks_[front_id];
    front.address = rest.address;
    front.bytes = bytes;
    front.previous = rest.previous;
    front.next = id;
    front.arena = rest.arena;
    front.expandable = rest.expandable;
    if (rest.previous != kNoBlock) blocks_[rest.previous].next = front_id;
    rest.previous = front_id;
    rest.address += bytes;
    rest.bytes -= bytes;
    return front_id;
  }
  // The block behind `id` becomes part of it.
  void absorb_next(uint32_t id) {
    Block& block = blocks_[id];
    const uint32_t gone = block.next;
    block.bytes += blocks_[gone].bytes;
    block.next = blocks_[gone].next;
    if (block.next != kNoBlock) blocks_[block.next].previous = id;
    recycle(gone);
  }

 private:
  std::vector<Block> blocks_;
  uint32_t reusable_ = kNoBlock;
};

}  // namespace tidemark::analyzer
