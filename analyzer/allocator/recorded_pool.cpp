// From the rows of a trace to a sequence of requests, and the comparison of its replay.
//
// A trace has the sizes of the blocks that the pool handed out, not of the requests. For PyTorch's
// allocator asking for a block's size again gives the same block, so that a replay is exact:
// - Small pool, and expandable segments: blocks are split down to the rounded request, so the two
//   are one.
// - Large pool: let r be the rounded request and b > r the block that it got unsplit. The search
// for
//   r found the smallest block not below r, which is b; so no free block lies from r to below b,
//   and the search for b finds the same one, at the same address. Had r found nothing, no block is
//   as large as b either. A new segment is split unless 1 MiB or less remains, so that r has at
//   least 10 MiB and r and b are rounded up to the same segment, which is b.
// - With max_split_size, r below and b exactly at that size differ: b then may be given an oversize
//   block that r would have been refused. And roundup_power2_divisions must not round b again: a
//   replay of recorded blocks leaves that setting out.
#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "tidemark/analyzer/replay.h"
#include "torch_allocator.h"

namespace tidemark::analyzer {
namespace {

using Key = std::pair<trace::ProcessId, int16_t>;
using Kind = AllocatorEvent::Kind;

constexpr std::string_view kTorchLibrary = "libc10_cuda";
// Where segments go that the recording has not: below all that the driver uses.
constexpr uint64_t kElsewhere = uint64_t{1} << 46;

// More than any device has; sums of what is below do not overflow.
constexpr uint64_t kImplausible = uint64_t{1} << 44;

struct Rows {
  std::vector<trace::Allocation> blocks;
  std::vector<trace::Allocation> pieces;  // from the driver
};

bool of_torch(const trace::Reader& reader, const trace::Allocation& row) {
  std::string_view source = reader.text(row.source);
  source.remove_prefix(source.rfind('/') + 1);  // npos + 1 is 0
  return source.starts_with(kTorchLibrary);
}

// A trace is untrusted: a model is handed no size that overflows and no free before its allocation.
Result<void> check_rows(const trace::Reader& reader, const Rows& rows) {
  if (rows.blocks.size() >= std::numeric_limits<uint32_t>::max()) {
    return fail(reader.path() + " has more than 2^32 blocks of a pool: too many for a replay");
  }
  for (const trace::Allocation& block : rows.blocks) {
    if (block.size < kImplausible && block.free_ns >= block.alloc_ns) continue;
    return fail(reader.path() + " has a block that no pool can have, allocation " +
                std::to_string(static_cast<int64_t>(block.id)) +
                ": the trace is damaged; record it again");
  }
  return {};
}

// One nanosecond's frees come first, as everywhere (analyzer/usage.h).
struct TimedEvent {
  int64_t time_ns;
  int order;
  int64_t id;
  AllocatorEvent event;
  bool operator<(const TimedEvent& other) const {
    return std::tie(time_ns, order, id) < std::tie(other.time_ns, other.order, other.id);
  }
};

// One for each run of driver frees without a pool event in between, at the first of them; and for
// each out of memory, before which all that is cached was given back.
void add_empty_caches(const Rows& rows, const std::vector<int64_t>& failed_ns,
                      std::vector<TimedEvent>& events) {
  std::vector<int64_t> times = failed_ns;
  for (const trace::Allocation& piece : rows.pieces) {
    if (piece.free_ns != trace::kNever) times.push_back(piece.free_ns);
  }
  std::sort(times.begin(), times.end());
  std::vector<TimedEvent> added;
  auto event = events.begin();
  bool open = false;
  for (const int64_t time_ns : times) {
    for (; event != events.end() && event->time_ns < time_ns; ++event) open = false;
    if (!open) added.push_back({time_ns, 0, 0, {0, 0, 0, Kind::kEmptyCache}});
    open = true;
  }
  events.insert(events.end(), added.begin(), added.end());
  std::sort(events.begin(), events.end());
}

RecordedPool pool_of(Key key, Rows& rows, const std::vector<int64_t>& failed_ns) {
  RecordedPool pool;
  pool.process = key.first;
  pool.device = key.second;
  std::vector<TimedEvent> events;
  for (const trace::Allocation& block : rows.blocks) {
    const auto lifetime = static_cast<uint32_t>(pool.lifetime.size());
    const auto id = static_cast<int64_t>(block.id);
    pool.lifetime.push_back(block.id);
    pool.addresses.push_back(block.address);
    events.push_back({block.alloc_ns, 1, id, {block.size, lifetime, 0, Kind::kAllocate}});
    if (block.free_ns != trace::kNever) {
      // Of no time at all: it must come after its own allocation.
      const int order = block.free_ns == block.alloc_ns ? 2 : 0;
      events.push_back({block.free_ns, order, id, {0, lifetime, 0, Kind::kFree}});
    }
  }
  std::sort(events.begin(), events.end());
  add_empty_caches(rows, failed_ns, events);
  uint64_t allocated = 0;
  std::vector<uint64_t> sizes(pool.lifetime.size());
  for (const TimedEvent& timed : events) {
    pool.events.push_back(timed.event);
    pool.event_ns.push_back(timed.time_ns);
    if (timed.event.kind == Kind::kAllocate) {
      sizes[timed.event.lifetime] = timed.event.bytes;
      allocated += timed.event.bytes;
      pool.peak_allocated_bytes = std::max(pool.peak_allocated_bytes, allocated);
    } else if (timed.event.kind == Kind::kFree) {
      allocated -= sizes[timed.event.lifetime];
    }
  }
  std::sort(rows.pieces.begin(), rows.pieces.end(),
            [](const trace::Allocation& a, const trace::Allocation& b) {
              return std::tie(a.alloc_ns, a.id) < std::tie(b.alloc_ns, b.id);
            });
  for (const trace::Allocation& piece : rows.pieces) {
    pool.segments.push_back({piece.address, piece.size, piece.alloc_ns, piece.free_ns});
  }
  return pool;
}

class RecordedPlacer final : public SegmentPlacer {
 public:
  explicit RecordedPlacer(const RecordedPool& pool)
      : segments_(pool.segments), used_(segments_.size()), other_(descending_placer(kElsewhere)) {}

  uint64_t place(uint64_t bytes, uint32_t stream) override {
    for (size_t i = first_; i < segments_.size(); ++i) {
      if (used_[i] || segments_[i].bytes != bytes || taken(segments_[i])) continue;
      used_[i] = true;
      while (first_ < segments_.size() && used_[first_]) ++first_;
      live_[segments_[i].address] = bytes;
      return segments_[i].address;
    }
    return other_->place(bytes, stream);
  }
  void release(uint64_t address, uint64_t bytes) override {
    if (live_.erase(address) == 0) other_->release(address, bytes);
  }

 private:
  // Of what lay at one address after another, a changed sequence may keep both.
  bool taken(const RecordedSegment& segment) const {
    const auto behind = live_.lower_bound(segment.address + segment.bytes);
    if (behind == live_.begin()) return false;
    const auto& [address, bytes] = *std::prev(behind);
    return address + bytes > segment.address;
  }

  const std::vector<RecordedSegment> segments_;
  std::vector<bool> used_;
  std::map<uint64_t, uint64_t> live_;  // of the recorded ones, address to bytes
  size_t first_ = 0;
  std::unique_ptr<SegmentPlacer> other_;
};

// What of the curve does not agree: recorded are the values at allocations that changed them.
uint32_t points_off(const RecordedPool& pool, const Replay& replay) {
  std::map<int64_t, uint64_t> recorded;
  for (const trace::PoolReserved& point : pool.reserved) {
    recorded[point.time_ns] = point.reserved_bytes;
  }
  uint32_t off = 0;
  for (const ReplayPoint& point : replay.reserved) {
    // Between two allocations the pool says nothing of what it gives back.
    if (pool.events[point.event].kind != Kind::kAllocate) continue;
    const auto found = recorded.find(pool.event_ns[point.event]);
    if (found == recorded.end() || found->second != point.reserved_bytes) ++off;
    if (found != recorded.end()) recorded.erase(found);
  }
  for (const auto& [time_ns, bytes] : recorded) {
    // What was given back before shows at the next event of any kind.
    const auto after = std::lower_bound(pool.event_ns.begin(), pool.event_ns.end(), time_ns);
    const auto event = static_cast<uint32_t>(after - pool.event_ns.begin());
    uint64_t replayed = 0;
    for (const ReplayPoint& point : replay.reserved) {
      if (point.event > event) break;
      replayed = point.reserved_bytes;
    }
    if (replayed != bytes) ++off;
  }
  return off;
}

// The addresses of expandable ranges are the model's own: what must agree is where a block lies in
// its range, of which each stream and pool has one; the first block tells how far they are apart.
void compare_addresses(const RecordedPool& pool, ReplayCheck& check) {
  std::map<std::pair<uint32_t, bool>, uint64_t> apart;
  for (uint32_t i = 0; i < pool.events.size(); ++i) {
    const AllocatorEvent& event = pool.events[i];
    if (event.kind != Kind::kAllocate) continue;
    if (check.replay.out_of_memory_at && i >= *check.replay.out_of_memory_at) break;
    const uint64_t distance =
        pool.addresses[event.lifetime] - check.replay.addresses[event.lifetime];
    uint64_t expected = 0;
    if (pool.expandable) {
      const bool small = event.bytes <= kTorchSmallRequest;
      expected = apart.try_emplace({event.stream, small}, distance).first->second;
    }
    if (distance == expected) continue;
    ++check.blocks_elsewhere;
    if (!check.first_elsewhere) check.first_elsewhere = i;
  }
}

// Sizes of what is held from the driver at the end, ascending. Of expandable segments the pages.
std::vector<uint64_t> held(const RecordedPool& pool) {
  std::vector<uint64_t> sizes;
  for (const RecordedSegment& segment : pool.segments) {
    if (segment.free_ns == trace::kNever) sizes.push_back(segment.bytes);
  }
  std::sort(sizes.begin(), sizes.end());
  return sizes;
}
std::vector<uint64_t> held(const AllocatorModel& model, uint64_t large_page_bytes) {
  std::vector<uint64_t> sizes;
  for (const Segment& segment : model.segments()) {
    const uint64_t page = !segment.expandable  ? segment.bytes
                          : segment.small_pool ? kTorchSmallSegment
                                               : large_page_bytes;
    sizes.insert(sizes.end(), segment.bytes / page, page);
  }
  std::sort(sizes.begin(), sizes.end());
  return sizes;
}

}  // namespace

Result<std::vector<RecordedPool>> recorded_pools(const trace::Reader& reader) {
  std::map<Key, Rows> rows;
  trace::AllocationFilter filter;
  filter.space = trace::Space::kDevice;
  for (const trace::Layer layer : {trace::Layer::kPool, trace::Layer::kDriver}) {
    filter.layer = layer;
    auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
      for (const trace::Allocation& row : batch) {
        const Key key{row.process, row.device};
        if (layer == trace::Layer::kPool) {
          rows[key].blocks.push_back(row);
        } else if (rows.contains(key) && of_torch(reader, row)) {
          rows[key].pieces.push_back(row);
        }
      }
    });
    if (!read) return tl::unexpected(read.error());
  }
  const auto reserved = reader.pool_reserved();
  if (!reserved) return tl::unexpected(reserved.error());
  const auto failed = reader.out_of_memory();
  if (!failed) return tl::unexpected(failed.error());
  std::vector<RecordedPool> pools;
  for (auto& [key, of_key] : rows) {
    if (auto sound = check_rows(reader, of_key); !sound) return tl::unexpected(sound.error());
    std::vector<int64_t> failed_ns;
    for (const trace::OutOfMemory& row : *failed) {
      if (Key{row.process, row.device} == key && row.layer == trace::Layer::kPool) {
        failed_ns.push_back(row.time_ns);
      }
    }
    pools.push_back(pool_of(key, of_key, failed_ns));
    RecordedPool& pool = pools.back();
    for (const trace::Allocation& piece : of_key.pieces) {
      if (reader.text(piece.api) == "cuMemCreate") pool.expandable = true;
    }
    for (const trace::PoolReserved& row : *reserved) {
      if (Key{row.process, row.device} != key) continue;
      pool.reserved.push_back(row);
      pool.peak_reserved_bytes = std::max(pool.peak_reserved_bytes, row.reserved_bytes);
    }
  }
  return pools;
}

std::unique_ptr<SegmentPlacer> recorded_placer(const RecordedPool& pool) {
  return std::make_unique<RecordedPlacer>(pool);
}

ReplayCheck check_replay(const RecordedPool& pool, AllocatorModel& model) {
  if (!pool.expandable) model.use_placer(recorded_placer(pool));
  ReplayCheck check;
  check.replay = replay(
      pool.events, model,
      {.curve = true, .addresses = true, .lifetimes = static_cast<uint32_t>(pool.lifetime.size())});
  check.allocated_error_bytes = static_cast<int64_t>(check.replay.peak_allocated_bytes) -
                                static_cast<int64_t>(pool.peak_allocated_bytes);
  check.reserved_error_bytes = static_cast<int64_t>(check.replay.peak_reserved_bytes) -
                               static_cast<int64_t>(pool.peak_reserved_bytes);
  check.reserved_points_off = points_off(pool, check.replay);
  compare_addresses(pool, check);
  const std::vector<uint64_t> recorded = held(pool);
  const std::vector<uint64_t> replayed =
      held(model, recorded.empty() ? kTorchSmallSegment : recorded.back());
  check.segments = static_cast<uint32_t>(replayed.size());
  check.recorded_segments = static_cast<uint32_t>(recorded.size());
  check.same_segment_sizes = replayed == recorded;
  return check;
}

}  // namespace tidemark::analyzer
