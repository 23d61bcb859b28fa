// What was live at a moment, by category.
#include <algorithm>
#include <map>

#include "lifetimes.h"
#include "tidemark/analyzer/categories.h"

namespace tidemark::analyzer {
namespace {

struct Placed {
  uint64_t begin = 0;
  uint64_t size = 0;
  Category category{};
};

using ByProcess = std::map<trace::ProcessId, std::vector<Placed>>;

Result<ByProcess> live_blocks(const trace::Reader& reader, const SeriesBlocks& blocks,
                              int64_t time_ns) {
  ByProcess live;
  const Lifetimes lifetimes(reader);
  trace::AllocationFilter filter = filter_for(blocks.series);
  filter.begin_ns = time_ns;
  filter.end_ns = time_ns == trace::kNever ? time_ns : time_ns + 1;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (row.alloc_ns > time_ns || lifetimes.end_ns(row) <= time_ns) continue;
      const CategoryBlock* block = blocks.find(row.id);
      live[row.process].push_back(
          {row.address, row.size, block == nullptr ? Category::kUnknown : block->category});
    }
  });
  if (!read) return tl::unexpected(read.error());
  for (auto& [process, placed] : live) {
    std::sort(placed.begin(), placed.end(),
              [](const Placed& a, const Placed& b) { return a.begin < b.begin; });
  }
  return live;
}

uint64_t& sum_of(CategoryBytesAt& sums, Category category) {
  return sums[static_cast<size_t>(category)];
}

// What of `outer` the pool's blocks fill, by their categories. They ascend and do not overlap in a
// sound trace; in any, no byte of `outer` counts twice.
uint64_t add_overlap(const Placed& outer, std::span<const Placed> pool, CategoryBytesAt& sums) {
  const auto saturated = [](uint64_t a, uint64_t b) {
    uint64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<uint64_t>::max() : sum;
  };
  const uint64_t outer_end = saturated(outer.begin, outer.size);
  auto at =
      std::upper_bound(pool.begin(), pool.end(), outer.begin,
                       [](uint64_t begin, const Placed& block) { return begin < block.begin; });
  if (at != pool.begin()) --at;
  uint64_t filled = 0;
  uint64_t from = outer.begin;
  for (; at != pool.end() && at->begin < outer_end; ++at) {
    const uint64_t begin = std::max(at->begin, from);
    const uint64_t end = std::min(saturated(at->begin, at->size), outer_end);
    if (begin >= end) continue;
    sum_of(sums, at->category) += end - begin;
    filled += end - begin;
    from = end;
  }
  return filled;
}

}  // namespace

Result<CategoryBytesAt> category_bytes_at(const trace::Reader& reader, const SeriesBlocks& blocks,
                                          const SeriesBlocks* pool, int64_t time_ns) {
  CategoryBytesAt sums{};
  const auto live = live_blocks(reader, blocks, time_ns);
  if (!live) return tl::unexpected(live.error());
  ByProcess in_pool;
  if (pool != nullptr) {
    auto read = live_blocks(reader, *pool, time_ns);
    if (!read) return tl::unexpected(read.error());
    in_pool = std::move(*read);
  }
  for (const auto& [process, placed] : *live) {
    const auto inner = in_pool.find(process);
    for (const Placed& block : placed) {
      const uint64_t filled = inner == in_pool.end() ? 0 : add_overlap(block, inner->second, sums);
      // A block of which a pool fills a part is the pool's as a whole.
      sum_of(sums, filled > 0 ? Category::kFramework : block.category) += block.size - filled;
    }
  }
  return sums;
}

}  // namespace tidemark::analyzer
