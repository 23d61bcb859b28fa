#include "tidemark/analyzer/uses.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace tidemark::analyzer {
namespace {

using trace::AllocationId;

// What uses one block at most: sets, and either side of a copy. Its block moves with it.
struct Single {
  Use use;
  AllocationId block;
};

Result<std::vector<Use>> uses_by_kernels(const trace::Reader& reader) {
  std::vector<Use> kernels;
  auto read = reader.kernels([&](std::span<const trace::Kernel> batch) {
    for (const trace::Kernel& row : batch) {
      kernels.push_back({row.start_ns, UseKind::kKernel, row.id, row.end_ns});
    }
  });
  if (!read) return tl::unexpected(read.error());
  return kernels;
}

Result<std::vector<Single>> copies_and_sets(const trace::Reader& reader) {
  std::vector<Single> all;
  const auto add = [&](AllocationId block, UseKind kind, const auto& row) {
    if (block != AllocationId{}) all.push_back({{row.start_ns, kind, row.id, row.end_ns}, block});
  };
  auto read = reader.transfers([&](std::span<const trace::Transfer> batch) {
    for (const trace::Transfer& row : batch) {
      add(row.src_allocation, UseKind::kCopyFrom, row);
      add(row.dst_allocation, UseKind::kCopyTo, row);
    }
  });
  if (read) {
    read = reader.memsets([&](std::span<const trace::Memset> batch) {
      for (const trace::Memset& row : batch) {
        add(row.allocation, UseKind::kSet, row);
      }
    });
  }
  if (!read) return tl::unexpected(read.error());
  return all;
}

bool earlier(const Use& a, const Use& b) {
  return std::tie(a.start_ns, a.kind, a.id) < std::tie(b.start_ns, b.kind, b.id);
}

}  // namespace

Result<UseIndex> UseIndex::build(const trace::Reader& reader) {
  constexpr size_t kMost = std::numeric_limits<uint32_t>::max();
  auto kernels = uses_by_kernels(reader);
  if (!kernels) return tl::unexpected(kernels.error());
  auto singles = copies_and_sets(reader);
  if (!singles) return tl::unexpected(singles.error());
  UseIndex index;
  if (kernels->size() + singles->size() > kMost) {
    return fail(reader.path() + " has more than 2^32 device events: too many for this question");
  }
  // Events in order of time, and where each kernel (by place in its table) and single went.
  index.events_ = *kernels;
  for (const Single& single : *singles) index.events_.push_back(single.use);
  std::vector<uint32_t> order(index.events_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint32_t>(i);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return earlier(index.events_[a], index.events_[b]); });
  std::vector<uint32_t> place(order.size());
  std::vector<Use> sorted;
  sorted.reserve(order.size());
  for (const uint32_t from : order) {
    place[from] = static_cast<uint32_t>(sorted.size());
    sorted.push_back(index.events_[from]);
  }
  index.events_ = std::move(sorted);

  // Visits every use as (block, event): kernels ascend by id in their table and in accesses.
  const auto each_use = [&](const auto& visit) -> Result<void> {
    for (size_t i = 0; i < singles->size(); ++i) {
      visit((*singles)[i].block, place[kernels->size() + i]);
    }
    size_t kernel = 0;
    return reader.accesses({}, [&](std::span<const trace::Access> batch) {
      for (const trace::Access& access : batch) {
        while (kernel < kernels->size() && (*kernels)[kernel].id < access.kernel) ++kernel;
        if (kernel == kernels->size()) return;
        if ((*kernels)[kernel].id == access.kernel) visit(access.allocation, place[kernel]);
      }
    });
  };
  auto read = each_use([&](AllocationId block, uint32_t) { index.blocks_.push_back(block); });
  if (!read) return tl::unexpected(read.error());
  const size_t uses = index.blocks_.size();
  std::sort(index.blocks_.begin(), index.blocks_.end());
  index.blocks_.erase(std::unique(index.blocks_.begin(), index.blocks_.end()), index.blocks_.end());
  index.blocks_.shrink_to_fit();
  const auto number_of = [&](AllocationId block) {
    return static_cast<size_t>(std::lower_bound(index.blocks_.begin(), index.blocks_.end(), block) -
                               index.blocks_.begin());
  };
  index.first_use_.assign(index.blocks_.size() + 1, 0);
  read = each_use([&](AllocationId block, uint32_t) { ++index.first_use_[number_of(block) + 1]; });
  if (!read) return tl::unexpected(read.error());
  for (size_t i = 1; i < index.first_use_.size(); ++i) {
    index.first_use_[i] += index.first_use_[i - 1];
  }
  index.events_of_uses_.resize(uses);
  std::vector<uint64_t> next(index.first_use_.begin(), index.first_use_.end());
  read = each_use([&](AllocationId block, uint32_t event) {
    index.events_of_uses_[next[number_of(block)]++] = event;
  });
  if (!read) return tl::unexpected(read.error());
  for (size_t i = 0; i < index.blocks_.size(); ++i) {
    const auto begin = index.events_of_uses_.begin();
    std::sort(begin + static_cast<ptrdiff_t>(index.first_use_[i]),
              begin + static_cast<ptrdiff_t>(index.first_use_[i + 1]));
  }
  return index;
}

std::span<const uint32_t> UseIndex::uses_of(AllocationId block) const {
  const auto found = std::lower_bound(blocks_.begin(), blocks_.end(), block);
  if (found == blocks_.end() || *found != block) return {};
  const auto number = static_cast<size_t>(found - blocks_.begin());
  return std::span(events_of_uses_)
      .subspan(first_use_[number], first_use_[number + 1] - first_use_[number]);
}

void UseIndex::each(const std::function<void(AllocationId, const Use&)>& visit) const {
  // By event: how many uses it has, where they begin, which blocks.
  std::vector<uint64_t> begin(events_.size() + 1, 0);
  for (const uint32_t event : events_of_uses_) ++begin[event + 1];
  for (size_t i = 1; i < begin.size(); ++i) begin[i] += begin[i - 1];
  std::vector<AllocationId> blocks(events_of_uses_.size());
  std::vector<uint64_t> next = begin;
  for (size_t number = 0; number < blocks_.size(); ++number) {
    for (uint64_t use = first_use_[number]; use < first_use_[number + 1]; ++use) {
      blocks[next[events_of_uses_[use]]++] = blocks_[number];
    }
  }
  for (size_t event = 0; event < events_.size(); ++event) {
    for (uint64_t at = begin[event]; at < begin[event + 1]; ++at) visit(blocks[at], events_[event]);
  }
}

}  // namespace tidemark::analyzer
