#include "tidemark/viewer/segments.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "lifetime_ends.h"
#include "tidemark/viewer/format.h"

namespace tidemark::viewer {
namespace {

using trace::Allocation;

// The driver maps pages of no less.
constexpr uint64_t kPage = uint64_t{2} << 20;
// What the driver calls a piece of memory without an address.
constexpr std::string_view kPages = "cuMemCreate";
// The library of PyTorch's allocator: what it took from the driver is its pool's, in use or not.
constexpr std::string_view kPoolLibrary = "libc10_cuda";

uint64_t end_of(uint64_t address, uint64_t bytes) {
  return bytes > UINT64_MAX - address ? UINT64_MAX : address + bytes;
}

bool by_address(const Allocation& a, const Allocation& b) {
  return std::tie(a.process, a.address, a.id) < std::tie(b.process, b.address, b.id);
}

struct LiveRows {
  std::vector<Allocation> blocks;  // of the pool
  std::vector<Allocation> pieces;  // of the driver's, those with an address
  bool pages = false;
};

bool of_pool(const trace::Reader& reader, const Allocation& piece) {
  return base_name(reader.text(piece.source)).starts_with(kPoolLibrary);
}

Result<LiveRows> read_live(const trace::Reader& reader, int16_t device, int64_t time_ns) {
  LiveRows rows;
  const LifetimeEnds ends(reader);
  trace::AllocationFilter filter;
  filter.space = trace::Space::kDevice;
  filter.device = device;
  filter.begin_ns = time_ns;
  filter.end_ns = time_ns < trace::kNever ? time_ns + 1 : time_ns;
  for (const trace::Layer layer : {trace::Layer::kPool, trace::Layer::kDriver}) {
    filter.layer = layer;
    auto& target = layer == trace::Layer::kPool ? rows.blocks : rows.pieces;
    const auto read = reader.allocations(filter, [&](std::span<const Allocation> batch) {
      for (const Allocation& row : batch) {
        if (row.size == 0 || row.alloc_ns > time_ns || ends.end_ns(row) <= time_ns) continue;
        const bool pages = layer == trace::Layer::kDriver && reader.text(row.api) == kPages;
        if (pages) rows.pages = true;
        if (!pages) target.push_back(row);
      }
    });
    if (!read) return tl::unexpected(read.error());
    std::sort(target.begin(), target.end(), by_address);
  }
  return rows;
}

// Pages of expandable segments that blocks have lain in so far, joined where they touch.
Result<std::vector<PoolSegment>> reached(const trace::Reader& reader, int16_t device,
                                         int64_t time_ns) {
  struct Range {
    uint64_t end = 0;
    int64_t first_ns = 0;
  };
  std::map<std::pair<trace::ProcessId, uint64_t>, Range> ranges;  // apart from each other
  trace::AllocationFilter filter;
  filter.layer = trace::Layer::kPool;
  filter.space = trace::Space::kDevice;
  filter.device = device;
  filter.end_ns = time_ns < trace::kNever ? time_ns + 1 : time_ns;
  const LifetimeEnds ends(reader);
  const auto read = reader.allocations(filter, [&](std::span<const Allocation> batch) {
    for (const Allocation& row : batch) {
      if (row.size == 0) continue;
      uint64_t begin = row.address & ~(kPage - 1);
      Range range{end_of(row.address, row.size), row.alloc_ns};
      if (range.end <= UINT64_MAX - kPage) range.end = (range.end + kPage - 1) & ~(kPage - 1);
      // A range that begins before this one, and then those that begin within it.
      auto next = ranges.upper_bound({row.process, begin});
      if (next != ranges.begin()) {
        const auto before = std::prev(next);
        if (before->first.first == row.process && before->second.end >= begin) next = before;
      }
      while (next != ranges.end() && next->first.first == row.process &&
             next->first.second <= range.end) {
        begin = std::min(begin, next->first.second);
        range.end = std::max(range.end, next->second.end);
        range.first_ns = std::min(range.first_ns, next->second.first_ns);
        next = ranges.erase(next);
      }
      ranges[{row.process, begin}] = range;
    }
  });
  if (!read) return tl::unexpected(read.error());
  std::vector<PoolSegment> segments;
  for (const auto& [key, range] : ranges) {
    PoolSegment segment;
    segment.process = key.first;
    segment.address = key.second;
    segment.bytes = range.end - key.second;
    segment.alloc_ns = range.first_ns;
    segments.push_back(std::move(segment));
  }
  return segments;
}

void add_hole(PoolSegment* segment, uint64_t from, uint64_t to) {
  if (to <= from) return;
  segment->pieces.push_back({from, to - from, {}, 0});
  segment->largest_hole = std::max(segment->largest_hole, to - from);
}

// Blocks from `first` on that begin within the segment; returns the one behind them. A damaged
// trace may have blocks that overlap or reach beyond: what is counted stays within the segment.
size_t fill(PoolSegment* segment, const std::vector<Allocation>& blocks, size_t first) {
  const uint64_t end = end_of(segment->address, segment->bytes);
  uint64_t at = segment->address;
  size_t i = first;
  for (; i < blocks.size(); ++i) {
    const Allocation& block = blocks[i];
    if (block.process != segment->process || block.address >= end) break;
    const uint64_t until = std::min(end_of(block.address, block.size), end);
    const uint64_t from = std::max(block.address, at);
    if (until <= from) continue;
    add_hole(segment, at, from);
    segment->pieces.push_back({from, until - from, block.id, block.alloc_ns});
    segment->live_bytes += until - from;
    at = until;
  }
  add_hole(segment, at, end);
  return i;
}

bool before(const Allocation& block, const PoolSegment& segment) {
  return std::tie(block.process, block.address) < std::tie(segment.process, segment.address);
}

// What may be a segment: the pool's for sure, or only where blocks of it lie in it.
struct Candidate {
  PoolSegment segment;
  bool of_pool = false;
};

// `pieces`: by address.
bool overlaps(const std::vector<Allocation>& pieces, const PoolSegment& range) {
  const uint64_t end = end_of(range.address, range.bytes);
  return std::any_of(pieces.begin(), pieces.end(), [&](const Allocation& piece) {
    return piece.process == range.process && piece.address < end &&
           range.address < end_of(piece.address, piece.size);
  });
}

void add(SegmentMap* map, PoolSegment& segment) {
  map->bytes += segment.bytes;
  map->live_bytes += segment.live_bytes;
  for (const SegmentPiece& piece : segment.pieces)
    ++(piece.is_hole() ? map->holes : map->live_count);
  map->largest_hole = std::max(map->largest_hole, segment.largest_hole);
  map->segments.push_back(std::move(segment));
}

}  // namespace

double SegmentMap::fragmentation() const {
  if (free_bytes() == 0) return 0;
  return 1 - static_cast<double>(largest_hole) / static_cast<double>(free_bytes());
}

Result<SegmentMap> segments_at(const trace::Reader& reader, int16_t device, int64_t time_ns) {
  const auto rows = read_live(reader, device, time_ns);
  if (!rows) return tl::unexpected(rows.error());
  SegmentMap map;
  map.series = {trace::Layer::kPool, trace::Space::kDevice, device};
  map.time_ns = time_ns;
  map.inferred = rows->pages;
  std::vector<Candidate> candidates;
  for (const Allocation& piece : rows->pieces) {
    candidates.push_back({{piece.process, piece.address, piece.size, piece.alloc_ns, {}, 0, 0},
                          of_pool(reader, piece)});
  }
  if (rows->pages) {
    const auto ranges = reached(reader, device, time_ns);
    if (!ranges) return tl::unexpected(ranges.error());
    for (const PoolSegment& range : *ranges) {
      if (!overlaps(rows->pieces, range)) candidates.push_back({range, true});
    }
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
      return std::tie(a.segment.process, a.segment.address) <
             std::tie(b.segment.process, b.segment.address);
    });
  }
  size_t next = 0;
  for (Candidate& candidate : candidates) {
    while (next < rows->blocks.size() && before(rows->blocks[next], candidate.segment)) ++next;
    next = fill(&candidate.segment, rows->blocks, next);
    if (candidate.of_pool || candidate.segment.live_bytes > 0) add(&map, candidate.segment);
  }
  return map;
}

std::vector<size_t> sorted_segments(const SegmentMap& map, SegmentOrder order) {
  std::vector<size_t> indices(map.segments.size());
  std::iota(indices.begin(), indices.end(), size_t{0});
  const auto key = [&](size_t index) {
    const PoolSegment& segment = map.segments[index];
    return order == SegmentOrder::kSize ? segment.bytes : segment.free_bytes();
  };
  if (order == SegmentOrder::kAddress) return indices;
  std::stable_sort(indices.begin(), indices.end(),
                   [&](size_t a, size_t b) { return key(a) > key(b); });
  return indices;
}

}  // namespace tidemark::viewer
