// The allocators beside PyTorch's: an exact sum, the driver's own, and TensorFlow's arena.
#include <cassert>

#include "regions.h"
#include "tidemark/analyzer/allocator_model.h"
#include "torch_allocator.h"

namespace tidemark::analyzer {
namespace {

constexpr uint64_t kDriverAlignment = 512;  // between neighbours that cudaMalloc gave, on an H100
constexpr uint64_t kAsyncRange = 32 * kMiB;
constexpr uint64_t kBfcMinimum = 256;

// As bytes; at least one.
uint64_t whole_units(uint64_t bytes, uint64_t unit) {
  return bytes == 0 ? unit : (bytes + unit - 1) / unit * unit;
}

bool fits(const AllocatorModel& model, uint64_t bytes, Capacity capacity) {
  return !capacity || model.reserved_bytes() + bytes <= *capacity;
}

class ExactSum final : public AllocatorModel {
 public:
  explicit ExactSum(Capacity capacity) : capacity_(capacity) {}

  std::optional<BlockHandle> allocate(uint64_t bytes, uint32_t /*stream*/) override {
    if (!fits(*this, bytes, capacity_)) {
      count_out_of_memory();
      return {};
    }
    const uint32_t id = blocks_.create();
    blocks_[id].bytes = bytes;
    blocks_[id].state = BlockState::kAllocated;
    count_allocated(bytes);
    count_reserved(bytes);
    return id;
  }
  void free(BlockHandle block) override {
    assert(blocks_[block].state == BlockState::kAllocated);
    count_freed(blocks_[block].bytes);
    count_released(blocks_[block].bytes);
    blocks_.recycle(block);
  }
  uint64_t block_bytes(BlockHandle block) const override { return blocks_[block].bytes; }
  uint64_t block_address(BlockHandle /*block*/) const override { return 0; }

 private:
  const Capacity capacity_;
  Blocks blocks_;
};

// What the models on regions share.
class RegionModel : public AllocatorModel {
 public:
  explicit RegionModel(Capacity capacity) : capacity_(capacity), placer_(descending_placer()) {}

  void free(BlockHandle block) override {
    assert(regions_[block].state == BlockState::kAllocated);
    count_freed(regions_[block].bytes);
    regions_.give(block);
  }
  uint64_t block_bytes(BlockHandle block) const override { return regions_[block].bytes; }
  uint64_t block_address(BlockHandle block) const override { return regions_[block].address; }
  std::vector<Segment> segments() const override { return regions_.segments(); }
  uint64_t largest_free_bytes() const override { return regions_.largest_free_bytes(); }
  void use_placer(std::unique_ptr<SegmentPlacer> placer) override { placer_ = std::move(placer); }

 protected:
  bool add_region(uint64_t bytes) {
    if (!fits(*this, bytes, capacity_)) return false;
    regions_.add(placer_->place(bytes, 0), bytes);
    count_reserved(bytes);
    return true;
  }
  void remove_region(uint32_t block) {
    placer_->release(regions_[block].address, regions_[block].bytes);
    count_released(regions_[block].bytes);
    regions_.remove(block);
  }
  BlockHandle hand_out(uint32_t block, uint64_t bytes, bool split) {
    const uint32_t given = split ? regions_.take_front(block, bytes) : regions_.take(block);
    count_allocated(regions_[given].bytes);
    return given;
  }
  const Capacity& capacity() const { return capacity_; }
  const Regions& regions() const { return regions_; }

 private:
  const Capacity capacity_;
  Regions regions_;
  std::unique_ptr<SegmentPlacer> placer_;
};

class CudaAsyncPool final : public RegionModel {
 public:
  CudaAsyncPool(uint64_t threshold, Capacity capacity)
      : RegionModel(capacity), threshold_(threshold) {}

  std::optional<BlockHandle> allocate(uint64_t bytes, uint32_t /*stream*/) override {
    const uint64_t rounded = whole_units(bytes, kDriverAlignment);
    uint32_t block = regions().best_fit(rounded);
    if (block == kNoBlock) {
      const uint64_t range = whole_units(rounded, kAsyncRange);
      if (!add_region(range)) {
        release_down_to(0);
        count_retry();
        if (!add_region(range)) {
          count_out_of_memory();
          return {};
        }
      }
      block = regions().best_fit(rounded);
    }
    return hand_out(block, rounded, regions()[block].bytes > rounded);
  }
  void empty_cache() override { release_down_to(threshold_); }

 private:
  void release_down_to(uint64_t held) {
    for (const uint32_t block : regions().whole()) {
      if (reserved_bytes() <= held) return;
      remove_region(block);
    }
  }
  const uint64_t threshold_;
};

class PlainCudaMalloc final : public RegionModel {
 public:
  PlainCudaMalloc(uint64_t granularity, Capacity capacity)
      : RegionModel(capacity), granularity_(granularity) {}

  std::optional<BlockHandle> allocate(uint64_t bytes, uint32_t /*stream*/) override {
    const bool own = bytes > kMiB;
    const uint64_t rounded = whole_units(bytes, own ? granularity_ : kDriverAlignment);
    // Pages of large blocks go back at once, so that all that is free lies in shared ones.
    uint32_t block = regions().best_fit(rounded);
    if (block == kNoBlock || own) {
      if (!add_region(whole_units(rounded, granularity_))) {
        count_out_of_memory();
        return {};
      }
      block = regions().whole().front();
    }
    return hand_out(block, rounded, regions()[block].bytes > rounded);
  }
  void free(BlockHandle block) override {
    RegionModel::free(block);
    for (const uint32_t empty : regions().whole()) remove_region(empty);
  }

 private:
  const uint64_t granularity_;
};

class Bfc final : public RegionModel {
 public:
  Bfc(const BfcSettings& settings, Capacity capacity)
      : RegionModel(capacity),
        settings_(settings),
        next_region_(settings.initial_region_bytes != 0 ? settings.initial_region_bytes
                                                        : capacity.value_or(0)) {}

  std::optional<BlockHandle> allocate(uint64_t bytes, uint32_t /*stream*/) override {
    const uint64_t rounded = whole_units(bytes, kBfcMinimum);
    uint32_t block = regions().best_fit(rounded);
    if (block == kNoBlock && extend(rounded)) block = regions().best_fit(rounded);
    if (block == kNoBlock) {
      count_out_of_memory();
      return {};
    }
    const uint64_t size = regions()[block].bytes;
    const bool split =
        size >= 2 * rounded || size - rounded >= settings_.max_internal_fragmentation_bytes;
    return hand_out(block, rounded, split && size > rounded);
  }

 private:
  bool extend(uint64_t rounded) {
    const uint64_t left = capacity() ? (*capacity() - reserved_bytes()) / kBfcMinimum * kBfcMinimum
                                     : TorchAllocatorSettings::kNoLimit;
    if (rounded > left) return false;
    bool grown = false;
    while (next_region_ < rounded) {
      grow();
      grown = true;
    }
    if (!add_region(std::min(next_region_, left))) return false;
    if (!grown) grow();
    return true;
  }
  void grow() {
    const double larger = static_cast<double>(next_region_) * settings_.growth_factor;
    next_region_ = whole_units(std::max(static_cast<uint64_t>(larger), next_region_ + kBfcMinimum),
                               kBfcMinimum);
  }

  const BfcSettings settings_;
  uint64_t next_region_;
};

}  // namespace

std::unique_ptr<AllocatorModel> exact_sum_allocator(Capacity capacity) {
  return std::make_unique<ExactSum>(capacity);
}

std::unique_ptr<AllocatorModel> cuda_async_pool_allocator(uint64_t release_threshold_bytes,
                                                          Capacity capacity) {
  return std::make_unique<CudaAsyncPool>(release_threshold_bytes, capacity);
}

std::unique_ptr<AllocatorModel> plain_cuda_malloc_allocator(uint64_t granularity_bytes,
                                                            Capacity capacity) {
  return std::make_unique<PlainCudaMalloc>(granularity_bytes, capacity);
}

std::unique_ptr<AllocatorModel> bfc_allocator(const BfcSettings& settings, Capacity capacity) {
  return std::make_unique<Bfc>(settings, capacity);
}

}  // namespace tidemark::analyzer
