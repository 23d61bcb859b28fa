#include "tidemark/analyzer/replay.h"

#include <algorithm>

namespace tidemark::analyzer {

Replay replay(std::span<const AllocatorEvent> events, AllocatorModel& model,
              const ReplayOptions& options) {
  Replay result;
  std::vector<BlockHandle> blocks(options.lifetimes);
  if (options.addresses) result.addresses.resize(options.lifetimes);
  uint64_t allocated_peak = model.peak_allocated_bytes();
  uint64_t reserved_peak = model.peak_reserved_bytes();
  uint64_t reserved = model.reserved_bytes();
  for (uint32_t i = 0; i < events.size(); ++i) {
    const AllocatorEvent& event = events[i];
    switch (event.kind) {
      case AllocatorEvent::Kind::kFree:
        model.free(blocks[event.lifetime]);
        break;
      case AllocatorEvent::Kind::kEmptyCache:
        model.empty_cache();
        break;
      case AllocatorEvent::Kind::kAllocate: {
        const auto block = model.allocate(event.bytes, event.stream);
        if (!block) {
          result.out_of_memory_at = i;
          result.peak_allocated_bytes = model.peak_allocated_bytes();
          result.peak_reserved_bytes = model.peak_reserved_bytes();
          return result;
        }
        blocks[event.lifetime] = *block;
        if (options.addresses) result.addresses[event.lifetime] = model.block_address(*block);
        break;
      }
    }
    if (model.peak_allocated_bytes() != allocated_peak) {
      allocated_peak = model.peak_allocated_bytes();
      result.peak_allocated_at = i;
    }
    if (model.peak_reserved_bytes() != reserved_peak) {
      reserved_peak = model.peak_reserved_bytes();
      result.peak_reserved_at = i;
    }
    if (model.reserved_bytes() != reserved) {
      reserved = model.reserved_bytes();
      if (options.curve) result.reserved.push_back({i, model.allocated_bytes(), reserved});
    }
  }
  result.peak_allocated_bytes = model.peak_allocated_bytes();
  result.peak_reserved_bytes = model.peak_reserved_bytes();
  return result;
}

}  // namespace tidemark::analyzer
