// Free blocks in order of (size, address), for best fit: the hot part of every replay.
//
// Blocks are binned by size, 64 bins for each power of two, with a bit for each bin that is not
// empty; a bin is a treap through the blocks themselves. A training loop has a few dozen sizes, so
// that most bins hold a handful of blocks and finding one is two looks at the bits; thousands of
// holes of one size still cost a logarithm only.
//
//   size   256 .. 32 KiB  one bin for each 256 bytes
//   above                 the six bits below the leading one choose among 64
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "blocks.h"

namespace tidemark::analyzer {

// Of one set of blocks, which each call is handed. Blocks' sizes and addresses must not change
// while they are in here.
class FreeIndex {
 public:
  FreeIndex() { roots_.fill(kNoBlock); }

  // The first block not below the key, or kNoBlock.
  uint32_t lower_bound(const Blocks& blocks, uint64_t bytes, uint64_t address) const {
    const uint32_t bin = bin_of(bytes);
    uint32_t found = kNoBlock;
    for (uint32_t at = roots_[bin]; at != kNoBlock;) {
      if (below(blocks[at], bytes, address)) {
        at = blocks[at].right;
      } else {
        found = at;
        at = blocks[at].left;
      }
    }
    return found != kNoBlock ? found : leftmost(blocks, next_bin(bin + 1));
  }
  uint32_t first(const Blocks& blocks) const { return leftmost(blocks, next_bin(0)); }
  uint32_t next(const Blocks& blocks, uint32_t id) const {
    return lower_bound(blocks, blocks[id].bytes, blocks[id].address + 1);
  }
  uint64_t largest_bytes(const Blocks& blocks) const {
    if (summary_ == 0) return 0;
    const auto word = static_cast<uint32_t>(std::bit_width(summary_)) - 1;
    const auto bit = static_cast<uint32_t>(std::bit_width(bits_[word])) - 1;
    uint32_t at = roots_[word * 64 + bit];
    while (blocks[at].right != kNoBlock) at = blocks[at].right;
    return blocks[at].bytes;
  }

  void insert(Blocks& blocks, uint32_t id) {
    const uint64_t bytes = blocks[id].bytes;
    const uint64_t address = blocks[id].address;
    const uint32_t bin = bin_of(bytes);
    bits_[bin / 64] |= uint64_t{1} << bin % 64;
    summary_ |= uint64_t{1} << bin / 64;
    uint32_t* link = &roots_[bin];
    const uint32_t own = priority(id);
    while (*link != kNoBlock && priority(*link) > own) {
      Block& at = blocks[*link];
      link = below(at, bytes, address) ? &at.right : &at.left;
    }
    // What is below here is split by the key into the new node's two sides.
    uint32_t rest = *link;
    *link = id;
    uint32_t* low = &blocks[id].left;
    uint32_t* high = &blocks[id].right;
    while (rest != kNoBlock) {
      Block& at = blocks[rest];
      if (below(at, bytes, address)) {
        *low = rest;
        low = &at.right;
        rest = at.right;
      } else {
        *high = rest;
        high = &at.left;
        rest = at.left;
      }
    }
    *low = kNoBlock;
    *high = kNoBlock;
  }

  void erase(Blocks& blocks, uint32_t id) {
    const uint64_t bytes = blocks[id].bytes;
    const uint64_t address = blocks[id].address;
    const uint32_t bin = bin_of(bytes);
    uint32_t* link = &roots_[bin];
    while (*link != id) {
      Block& at = blocks[*link];
      link = below(at, bytes, address) ? &at.right : &at.left;
    }
    // Its two sides become one in its place.
    uint32_t low = blocks[id].left;
    uint32_t high = blocks[id].right;
    while (low != kNoBlock && high != kNoBlock) {
      if (priority(low) > priority(high)) {
        *link = low;
        link = &blocks[low].right;
        low = *link;
      } else {
        *link = high;
        link = &blocks[high].left;
        high = *link;
      }
    }
    *link = low != kNoBlock ? low : high;
    if (roots_[bin] == kNoBlock) {
      uint64_t& word = bits_[bin / 64];
      word &= ~(uint64_t{1} << bin % 64);
      if (word == 0) summary_ &= ~(uint64_t{1} << bin / 64);
    }
  }

 private:
  static constexpr uint32_t kBins = 51 * 64;  // up to 2^64 bytes

  static uint32_t bin_of(uint64_t bytes) {
    const uint64_t units = bytes >> 8;
    if (units < 128) return static_cast<uint32_t>(units);
    const auto shift = static_cast<uint32_t>(std::bit_width(units)) - 7;
    return shift * 64 + static_cast<uint32_t>(units >> shift);
  }
  // The first bin from `from` on that is not empty; kBins: none.
  uint32_t next_bin(uint32_t from) const {
    const uint32_t word = from / 64;
    if (word >= bits_.size()) return kBins;
    const uint64_t here = bits_[word] >> from % 64;
    if (here != 0) return from + static_cast<uint32_t>(std::countr_zero(here));
    const uint64_t behind = word == 63 ? 0 : summary_ >> (word + 1) << (word + 1);
    if (behind == 0) return kBins;
    const auto next = static_cast<uint32_t>(std::countr_zero(behind));
    return next * 64 + static_cast<uint32_t>(std::countr_zero(bits_[next]));
  }
  uint32_t leftmost(const Blocks& blocks, uint32_t bin) const {
    if (bin == kBins) return kNoBlock;
    uint32_t at = roots_[bin];
    while (blocks[at].left != kNoBlock) at = blocks[at].left;
    return at;
  }
  static bool below(const Block& block, uint64_t bytes, uint64_t address) {
    return block.bytes < bytes || (block.bytes == bytes && block.address < address);
  }
  // As good as random, and the same in every run.
  static uint32_t priority(uint32_t id) { return id * 0x9E3779B1U ^ id >> 7; }

  uint64_t summary_ = 0;  // of each word of bits_, whether it is not 0
  std::array<uint64_t, kBins / 64> bits_{};
  std::array<uint32_t, kBins> roots_;
};

}  // namespace tidemark::analyzer
