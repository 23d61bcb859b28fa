#include "torch_allocator.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace tidemark::analyzer {
namespace {

Capacity allowed_bytes(const TorchAllocatorSettings& settings, Capacity capacity) {
  if (!capacity || settings.per_process_memory_fraction <= 0) return {};
  return static_cast<uint64_t>(settings.per_process_memory_fraction *
                               static_cast<double>(*capacity));
}

uint64_t round_up(uint64_t bytes, uint64_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

uint64_t torch_rounded_bytes(const TorchAllocatorSettings& settings, uint64_t bytes) {
  if (bytes < kTorchMinBlock) return kTorchMinBlock;
  const int log2 = static_cast<int>(std::bit_width(bytes)) - 1;
  const auto range = static_cast<size_t>(std::clamp(log2 - 20, 0, 15));
  const uint64_t divisions = settings.roundup_power2_divisions[range];
  if (divisions <= 1 || bytes <= kTorchMinBlock * divisions) {
    return round_up(bytes, kTorchMinBlock);
  }
  const uint64_t floor = std::bit_floor(bytes);
  return round_up(bytes, floor / divisions);
}

uint64_t torch_segment_bytes(const TorchAllocatorSettings& settings, uint64_t rounded) {
  if (rounded <= kTorchSmallRequest) return kTorchSmallSegment;
  if (rounded < kTorchOwnSegment) return settings.large_segment_bytes;
  return round_up(rounded, kTorchSegmentRounding);
}

TorchAllocator::TorchAllocator(const TorchAllocatorSettings& settings, Capacity capacity)
    : settings_(settings),
      capacity_(capacity),
      allowed_(allowed_bytes(settings, capacity)),
      collects_garbage_(allowed_.has_value() && settings.garbage_collection_threshold > 0),
      placer_(descending_placer()) {}

std::optional<BlockHandle> TorchAllocator::allocate(uint64_t bytes, uint32_t stream) {
  if (!ended_.empty()) take_back_ended();
  const uint64_t rounded = torch_rounded_bytes(settings_, bytes);
  const uint32_t arena = arena_of(stream, rounded <= kTorchSmallRequest);
  if (collects_garbage_) ++clock_of(arena);
  uint32_t block = find_free(*arenas_[arena], rounded);
  if (block == kNoBlock) {
    block = grow(arena, rounded);
    if (block == kNoBlock) {
      count_out_of_memory();
      return {};
    }
  }
  take_out(block);
  if (should_split(blocks_[block], rounded)) {
    const uint32_t rest = block;
    block = blocks_.cut_front(rest, rounded);
    put(rest);
  }
  blocks_[block].state = BlockState::kAllocated;
  count_allocated(blocks_[block].bytes);
  return block;
}

bool TorchAllocator::should_split(const Block& block, uint64_t rounded) const {
  const uint64_t rest = block.bytes - rounded;
  if (arenas_[block.arena]->small || settings_.expandable_segments) return rest >= kTorchMinBlock;
  return rounded < settings_.max_split_size_bytes && rest > kTorchSmallRequest;
}

uint32_t TorchAllocator::find_free(const Arena& arena, uint64_t rounded) const {
  uint32_t found = arena.free.lower_bound(blocks_, rounded, 0);
  if (found == kNoBlock) return kNoBlock;
  if (settings_.expandable_segments) found = past_expandable(arena.free, found);
  // Only this one candidate counts: what is refused here is refused for all that are larger.
  const uint64_t bytes = blocks_[found].bytes;
  const uint64_t limit = settings_.max_split_size_bytes;
  if (rounded < limit) return bytes < limit ? found : kNoBlock;
  return bytes < rounded + settings_.max_non_split_rounding_bytes ? found : kNoBlock;
}

void TorchAllocator::free(BlockHandle block) {
  assert(blocks_[block].state == BlockState::kAllocated);
  count_freed(blocks_[block].bytes);
  put_back(block);
}

uint64_t TorchAllocator::free_in_use(BlockHandle block) {
  assert(blocks_[block].state == BlockState::kAllocated);
  count_freed(blocks_[block].bytes);
  blocks_[block].state = BlockState::kPending;
  pending_.push_back({++last_ticket_, block});
  return last_ticket_;
}

void TorchAllocator::put_back(uint32_t block) {
  const uint32_t next = blocks_[block].next;
  if (is_free(next)) {
    take_out(next);
    blocks_.absorb_next(block);
  }
  const uint32_t previous = blocks_[block].previous;
  if (is_free(previous)) {
    take_out(previous);
    blocks_.absorb_next(previous);
    block = previous;
  }
  put(block);
}

void TorchAllocator::put(uint32_t block) {
  blocks_[block].state = BlockState::kFree;
  if (collects_garbage_) blocks_[block].born = clock_of(blocks_[block].arena);
  arenas_[blocks_[block].arena]->free.insert(blocks_, block);
}

uint32_t TorchAllocator::arena_of(uint32_t stream, bool small) {
  for (const auto& [known, arena] : streams_) {
    if (known == stream) return small ? arena : arena + 1;
  }
  const auto arena = static_cast<uint32_t>(arenas_.size());
  for (const bool is_small : {true, false}) {
    arenas_.push_back(std::make_unique<Arena>());
    arenas_.back()->stream = stream;
    arenas_.back()->small = is_small;
  }
  streams_.emplace_back(stream, arena);
  return small ? arena : arena + 1;
}

// PyTorch's order: garbage collection, the driver, one or a few oversize blocks back and the
// driver, all that is cached back and the driver.
uint32_t TorchAllocator::grow(uint32_t arena, uint64_t rounded) {
  if (collects_garbage_) collect_garbage();
  uint32_t block = new_memory(arena, rounded);
  if (block == kNoBlock && release_oversize(arena, rounded)) block = new_memory(arena, rounded);
  if (block == kNoBlock) {
    release_cached();
    count_retry();
    block = new_memory(arena, rounded);
  }
  return block;
}

uint32_t TorchAllocator::new_memory(uint32_t arena, uint64_t rounded) {
  const uint64_t bytes = torch_segment_bytes(settings_, rounded);
  if (allowed_ && reserved_bytes() + bytes > *allowed_) return kNoBlock;
  if (settings_.expandable_segments) return grow_expandable(arena, rounded);
  return driver_has(bytes) ? new_segment(arena, bytes) : kNoBlock;
}

bool TorchAllocator::driver_has(uint64_t bytes) const {
  return !capacity_ || reserved_bytes() + bytes <= *capacity_;
}

uint32_t TorchAllocator::new_segment(uint32_t arena, uint64_t bytes) {
  const uint32_t id = blocks_.create();
  Block& block = blocks_[id];
  block.address = placer_->place(bytes, arenas_[arena]->stream);
  block.bytes = bytes;
  block.arena = arena;
  count_reserved(bytes);
  put(id);
  return id;
}

uint64_t TorchAllocator::largest_free_bytes() const {
  uint64_t largest = 0;
  for (const auto& arena : arenas_) {
    largest = std::max(largest, arena->free.largest_bytes(blocks_));
  }
  return largest;
}

std::vector<Segment> TorchAllocator::segments() const {
  const auto holds = [](BlockState state) {
    return state != BlockState::kUnused && state != BlockState::kUnmapped;
  };
  std::vector<Segment> all;
  for (uint32_t id = 0; id < blocks_.count(); ++id) {
    const Block& head = blocks_[id];
    if (!holds(head.state)) continue;
    if (head.previous != kNoBlock && holds(blocks_[head.previous].state)) continue;
    const Arena& arena = *arenas_[head.arena];
    Segment segment{head.address, 0, arena.stream, arena.small, head.expandable, {}};
    for (uint32_t at = id; at != kNoBlock && holds(blocks_[at].state); at = blocks_[at].next) {
      const Block& block = blocks_[at];
      const auto state = block.state == BlockState::kFree        ? SegmentBlock::State::kFree
                         : block.state == BlockState::kAllocated ? SegmentBlock::State::kAllocated
                                                                 : SegmentBlock::State::kPending;
      segment.bytes += block.bytes;
      segment.blocks.push_back({block.address, block.bytes, state});
    }
    all.push_back(std::move(segment));
  }
  std::sort(all.begin(), all.end(),
            [](const Segment& a, const Segment& b) { return a.address < b.address; });
  return all;
}

std::unique_ptr<AllocatorModel> torch_caching_allocator(const TorchAllocatorSettings& settings,
                                                        Capacity capacity) {
  if (settings.backend_cuda_malloc_async) {
    return cuda_async_pool_allocator(TorchAllocatorSettings::kNoLimit, capacity);
  }
  return std::make_unique<TorchAllocator>(settings, capacity);
}

}  // namespace tidemark::analyzer
