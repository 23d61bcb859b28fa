// PyTorch's caching allocator, rule by rule: torch_allocator.cpp has what every request passes,
// torch_release.cpp what gives memory back, torch_expandable.cpp expandable segments.
//
// Blocks live in arenas, one for each stream and pool (small: requests to 1 MiB; large), so that
// the order (stream, size, address) of PyTorch's one set is (size, address) within an arena.
#pragma once

#include <memory>
#include <vector>

#include "blocks.h"
#include "free_index.h"
#include "tidemark/analyzer/allocator_model.h"

namespace tidemark::analyzer {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kTorchMinBlock = 512;
inline constexpr uint64_t kTorchSmallRequest = kMiB;      // the largest of the small pool
inline constexpr uint64_t kTorchSmallSegment = 2 * kMiB;  // small pool: segment, page
inline constexpr uint64_t kTorchOwnSegment = 10 * kMiB;   // from here on segments fit the request
inline constexpr uint64_t kTorchSegmentRounding = 2 * kMiB;  // to a multiple of this

// What a request becomes before a block is looked for.
uint64_t torch_rounded_bytes(const TorchAllocatorSettings& settings, uint64_t bytes);
// What is taken from the driver for a rounded request that no cached block serves.
uint64_t torch_segment_bytes(const TorchAllocatorSettings& settings, uint64_t rounded);

class TorchAllocator final : public AllocatorModel {
 public:
  TorchAllocator(const TorchAllocatorSettings& settings, Capacity capacity);

  std::optional<BlockHandle> allocate(uint64_t bytes, uint32_t stream) override;
  void free(BlockHandle block) override;
  uint64_t free_in_use(BlockHandle block) override;
  void uses_ended(uint64_t ticket) override { ended_.push_back(ticket); }
  void empty_cache() override;
  uint64_t block_bytes(BlockHandle block) const override { return blocks_[block].bytes; }
  uint64_t block_address(BlockHandle block) const override { return blocks_[block].address; }
  std::vector<Segment> segments() const override;
  uint64_t largest_free_bytes() const override;
  void use_placer(std::unique_ptr<SegmentPlacer> placer) override { placer_ = std::move(placer); }

 private:
  struct Arena {
    FreeIndex free;
    std::vector<uint32_t> unmapped;  // ascending in address
    uint32_t stream = 0;
    bool small = false;
  };

  uint32_t arena_of(uint32_t stream, bool small);
  bool should_split(const Block& block, uint64_t rounded) const;
  // The free block for a request, or kNoBlock.
  uint32_t find_free(const Arena& arena, uint64_t rounded) const;
  uint32_t past_expandable(const FreeIndex& free, uint32_t block) const;

  // Into its arena's index and out of it; the first as it is, the second joined with its
  // neighbours.
  void put(uint32_t block);
  void put_back(uint32_t block);
  void take_out(uint32_t block) { arenas_[blocks_[block].arena]->free.erase(blocks_, block); }
  bool is_free(uint32_t block) const {
    return block != kNoBlock && blocks_[block].state == BlockState::kFree;
  }
  uint64_t& clock_of(uint32_t arena) { return searches_[arenas_[arena]->small ? 1 : 0]; }

  // Asks the driver, gives back what is cached, asks again. The block is in its arena's index.
  uint32_t grow(uint32_t arena, uint64_t rounded);
  uint32_t new_memory(uint32_t arena, uint64_t rounded);
  uint32_t new_segment(uint32_t arena, uint64_t bytes);
  bool driver_has(uint64_t bytes) const;

  // torch_release.cpp
  void take_back_ended();
  void collect_garbage();
  bool release_oversize(uint32_t arena, uint64_t rounded);
  void release_cached();
  void release_arena(Arena& arena);
  void release_segment(uint32_t block);

  // torch_expandable.cpp
  uint32_t grow_expandable(uint32_t arena, uint64_t rounded);
  uint32_t expandable_room(uint32_t arena, uint64_t rounded);
  bool has_room(uint32_t block, uint64_t rounded) const;
  bool map(uint32_t block, uint64_t bytes);
  void unmap(uint32_t block);
  uint64_t page_bytes(const Arena& arena) const;
  void add_unmapped(uint32_t block);
  void remove_unmapped(uint32_t block);
  void join_free_neighbours(uint32_t block);

  const TorchAllocatorSettings settings_;
  const Capacity capacity_;  // of the card: the driver refuses what is above
  const Capacity allowed_;   // PyTorch's own count, with per_process_memory_fraction
  const bool collects_garbage_;
  Blocks blocks_;
  std::vector<std::unique_ptr<Arena>> arenas_;
  std::vector<std::pair<uint32_t, uint32_t>> streams_;  // stream, its small arena; large is behind
  uint64_t searches_[2] = {0, 0};                       // of the large and small pool
  struct Pending {
    uint64_t ticket;
    uint32_t block;
  };
  std::vector<Pending> pending_;
  std::vector<uint64_t> ended_;
  uint64_t last_ticket_ = 0;
  std::unique_ptr<SegmentPlacer> placer_;
};

}  // namespace tidemark::analyzer
