// Allocators as pure arithmetic: what a sequence of requests makes an allocator take from the
// device, without a device. One model is one device (or the host); feed it allocations and frees in
// order of time and read how much was handed out and how much was reserved.
//
// One thread owns a model. Sizes are bytes. Addresses are the model's own: only their order and
// distances mean something, unless a SegmentPlacer gives recorded ones.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "tidemark/trace/result.h"

namespace tidemark::analyzer {

// A block that was handed out and is not freed yet. Reused after its free.
using BlockHandle = uint32_t;

// A part of a segment. Blocks lie end to end and fill their segment.
struct SegmentBlock {
  enum class State : uint8_t {
    kFree,
    kAllocated,
    kPending,  // freed, but work of another stream still uses it (record_stream)
  };
  uint64_t address = 0;
  uint64_t bytes = 0;
  State state{};
  bool operator==(const SegmentBlock&) const = default;
};

// What was taken from the driver in one piece; of an expandable segment one contiguous mapped
// range, as torch.cuda.memory_snapshot() lists it.
struct Segment {
  uint64_t address = 0;
  uint64_t bytes = 0;
  uint32_t stream = 0;
  bool small_pool = false;
  bool expandable = false;
  std::vector<SegmentBlock> blocks;  // ascending in address
};

// Says where the driver puts what an allocator takes from it. It matters: of two free blocks of one
// size PyTorch takes the one at the lower address.
class SegmentPlacer {
 public:
  virtual ~SegmentPlacer() = default;
  virtual uint64_t place(uint64_t bytes, uint32_t stream) = 0;
  virtual void release(uint64_t address, uint64_t bytes) = 0;
};

// How cudaMalloc chose its addresses in recordings on an H100 (driver 580): ranges of whole 32 MiB,
// each below the one before; what still fits into a range that is there already goes into the
// lowest such range. The driver shares its address space with all mappings of the process, so a
// program's first few ranges may lie elsewhere; recorded addresses are better where there are any.
std::unique_ptr<SegmentPlacer> descending_placer(uint64_t below_address = uint64_t{1} << 47);

class AllocatorModel {
 public:
  virtual ~AllocatorModel() = default;

  // None: out of memory, that is a capacity is set and would be exceeded even after everything
  // cached was given back. 0 bytes count as 1.
  virtual std::optional<BlockHandle> allocate(uint64_t bytes, uint32_t stream) = 0;
  virtual void free(BlockHandle block) = 0;

  // A free of what another stream still uses (record_stream): it counts as freed at once, but
  // cannot be handed out again before the first allocation after `uses_ended` with the ticket that
  // this returned, a retry on a full card, or empty_cache; after these two the ticket has no
  // effect. Models without streams free at once.
  virtual uint64_t free_in_use(BlockHandle block) {
    free(block);
    return 0;
  }
  virtual void uses_ended(uint64_t /*ticket*/) {}

  // Gives back to the driver what no block is in: torch.cuda.empty_cache().
  virtual void empty_cache() {}

  // How large the block is that the request got, rounding and unsplit tail included; and where it
  // lies.
  virtual uint64_t block_bytes(BlockHandle block) const = 0;
  virtual uint64_t block_address(BlockHandle block) const = 0;

  // Ascending in address. Of models without segments none.
  virtual std::vector<Segment> segments() const { return {}; }
  // The largest block that can be handed out without asking the driver. 0: none.
  virtual uint64_t largest_free_bytes() const { return 0; }
  // Before the first allocation. Models without segments ignore it.
  virtual void use_placer(std::unique_ptr<SegmentPlacer>) {}

  // The sum of the sizes of the blocks handed out, and what is held from the driver.
  uint64_t allocated_bytes() const { return allocated_bytes_; }
  uint64_t peak_allocated_bytes() const { return peak_allocated_bytes_; }
  uint64_t reserved_bytes() const { return reserved_bytes_; }
  uint64_t peak_reserved_bytes() const { return peak_reserved_bytes_; }
  // From here on peaks are those since now: torch.cuda.reset_peak_memory_stats().
  void reset_peaks() {
    peak_allocated_bytes_ = allocated_bytes_;
    peak_reserved_bytes_ = reserved_bytes_;
  }
  // How often the driver had to be asked again after everything cached was given back: each one
  // waits for the whole device. And how often even that was not enough.
  uint64_t retries() const { return retries_; }
  uint64_t out_of_memory() const { return out_of_memory_; }
  // Calls of the driver that took memory or gave it back.
  uint64_t driver_allocations() const { return driver_allocations_; }
  uint64_t driver_frees() const { return driver_frees_; }

 protected:
  void count_allocated(uint64_t bytes) {
    allocated_bytes_ += bytes;
    if (allocated_bytes_ > peak_allocated_bytes_) peak_allocated_bytes_ = allocated_bytes_;
  }
  void count_freed(uint64_t bytes) { allocated_bytes_ -= bytes; }
  void count_reserved(uint64_t bytes) {
    ++driver_allocations_;
    reserved_bytes_ += bytes;
    if (reserved_bytes_ > peak_reserved_bytes_) peak_reserved_bytes_ = reserved_bytes_;
  }
  void count_released(uint64_t bytes) {
    ++driver_frees_;
    reserved_bytes_ -= bytes;
  }
  void count_retry() { ++retries_; }
  void count_out_of_memory() { ++out_of_memory_; }

 private:
  uint64_t allocated_bytes_ = 0;
  uint64_t peak_allocated_bytes_ = 0;
  uint64_t reserved_bytes_ = 0;
  uint64_t peak_reserved_bytes_ = 0;
  uint64_t retries_ = 0;
  uint64_t out_of_memory_ = 0;
  uint64_t driver_allocations_ = 0;
  uint64_t driver_frees_ = 0;
};

// What PYTORCH_CUDA_ALLOC_CONF (PYTORCH_ALLOC_CONF) can say, as far as it changes what is reserved.
struct TorchAllocatorSettings {
  static constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();
  // Blocks of this size and more are not split, and smaller requests do not get them.
  uint64_t max_split_size_bytes = kNoLimit;
  // By how much a block of that kind may be larger than the request.
  uint64_t max_non_split_rounding_bytes = uint64_t{20} << 20;
  // What is taken for a request of more than 1 MiB and less than 10 MiB; the page of an expandable
  // segment for large blocks.
  uint64_t large_segment_bytes = uint64_t{20} << 20;
  bool expandable_segments = false;
  // For requests from 2^(20+i) to 2^(21+i) bytes (the first also below, the last also above): into
  // how many steps the way to the next power of two is divided. 0 and 1: no such rounding.
  std::array<uint32_t, 16> roundup_power2_divisions{};
  // Only with per_process_memory_fraction: the share of what is allowed above which old cached
  // blocks are given back. 0: never.
  double garbage_collection_threshold = 0;
  // 0: not set. Set, it also makes PyTorch count itself, instead of letting the driver refuse.
  double per_process_memory_fraction = 0;
  bool backend_cuda_malloc_async = false;

  // "expandable_segments:True,max_split_size_mb:128", as PyTorch 2.11 reads it; "" is the default.
  // Keys that do not change what is reserved are accepted and have no effect.
  [[nodiscard]] static Result<TorchAllocatorSettings> parse(std::string_view text);
};

// Bytes the allocator may hold from the driver; none: no limit.
using Capacity = std::optional<uint64_t>;

// Nothing but the sum of the requests.
std::unique_ptr<AllocatorModel> exact_sum_allocator(Capacity capacity = {});
// PyTorch's caching allocator as of 2.11 (c10/cuda/CUDACachingAllocator). Not modelled: private
// pools (CUDA graphs, MemPool), whose requests PyTorch keeps apart.
std::unique_ptr<AllocatorModel> torch_caching_allocator(const TorchAllocatorSettings& settings = {},
                                                        Capacity capacity = {});
// A driver's pool behind cudaMallocAsync. Requests are rounded to 512 bytes, blocks lie best-fit in
// ranges of whole 32 MiB, and what is free above the threshold goes back when the program
// synchronizes: `empty_cache` stands for that. The rounding is as recorded on an H100; that ranges
// have 32 MiB and that any stream can take what another freed are assumptions.
std::unique_ptr<AllocatorModel> cuda_async_pool_allocator(
    uint64_t release_threshold_bytes = TorchAllocatorSettings::kNoLimit, Capacity capacity = {});
// cudaMalloc and cudaFree for each block: above 1 MiB each has pages of its own, smaller ones share
// pages (as recorded on an H100), and a page goes back with the last block in it.
std::unique_ptr<AllocatorModel> plain_cuda_malloc_allocator(uint64_t granularity_bytes = uint64_t{2}
                                                                                         << 20,
                                                            Capacity capacity = {});

// The arena of TensorFlow and XLA ("best fit with coalescing").
struct BfcSettings {
  // 0: the first region is all there is at once (no allow_growth); needs a capacity.
  uint64_t initial_region_bytes = uint64_t{2} << 20;
  double growth_factor = 2.0;
  // A block is split when twice as large as the request or when this much would be lost.
  uint64_t max_internal_fragmentation_bytes = uint64_t{128} << 20;
};
std::unique_ptr<AllocatorModel> bfc_allocator(const BfcSettings& settings = {},
                                              Capacity capacity = {});

// "torch", "torch:expandable_segments:True,max_split_size_mb:128", "cuda-malloc-async",
// "cuda-malloc-async:threshold=0", "cuda-malloc", "bfc", "bfc:whole", "exact". Errors name what is
// wrong and list what there is.
[[nodiscard]] Result<std::unique_ptr<AllocatorModel>> make_allocator(std::string_view spec,
                                                                     Capacity capacity = {});

}  // namespace tidemark::analyzer
