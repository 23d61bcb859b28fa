#include "large_blocks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <tuple>

#include "../lifetimes.h"

namespace tidemark::analyzer {
namespace {

using trace::Reader;

class LargeBlocks final : public Reader {
 public:
  LargeBlocks(const Reader& reader, uint64_t from_bytes) : reader_(reader), from_(from_bytes) {}

  Result<void> allocations(const trace::AllocationFilter& filter,
                           const Visit<trace::Allocation>& visit) const override {
    std::vector<trace::Allocation> large;
    return reader_.allocations(filter, [&](std::span<const trace::Allocation> batch) {
      large.clear();
      for (const trace::Allocation& row : batch) {
        if (row.size >= from_) large.push_back(row);
      }
      if (!large.empty()) visit(large);
    });
  }

  const std::string& path() const override { return reader_.path(); }
  std::string meta(std::string_view key) const override { return reader_.meta(key); }
  const std::vector<std::pair<std::string, std::string>>& all_meta() const override {
    return reader_.all_meta();
  }
  const std::vector<trace::Process>& processes() const override { return reader_.processes(); }
  const std::vector<trace::Thread>& threads() const override { return reader_.threads(); }
  const std::vector<trace::Loss>& losses() const override { return reader_.losses(); }
  bool finished() const override { return reader_.finished(); }
  int64_t end_ns() const override { return reader_.end_ns(); }
  const std::string& text(trace::StringId id) const override { return reader_.text(id); }
  std::span<const trace::Frame> frames(trace::StackId id) const override {
    return reader_.frames(id);
  }
  Result<void> transfers(const Visit<trace::Transfer>& visit) const override {
    return reader_.transfers(visit);
  }
  Result<void> memsets(const Visit<trace::Memset>& visit) const override {
    return reader_.memsets(visit);
  }
  Result<void> kernels(const Visit<trace::Kernel>& visit) const override {
    return reader_.kernels(visit);
  }
  Result<void> accesses(const trace::AccessFilter& filter,
                        const Visit<trace::Access>& visit) const override {
    return reader_.accesses(filter, visit);
  }
  Result<void> markers(const Visit<trace::Marker>& visit) const override {
    return reader_.markers(visit);
  }
  Result<std::vector<trace::PoolReserved>> pool_reserved() const override {
    return reader_.pool_reserved();
  }
  Result<std::vector<trace::OutOfMemory>> out_of_memory() const override {
    return reader_.out_of_memory();
  }
  Result<std::vector<trace::ProcessMemory>> process_memory() const override {
    return reader_.process_memory();
  }
  Result<std::vector<trace::DeviceMemory>> device_memory() const override {
    return reader_.device_memory();
  }
  Result<std::vector<trace::DevicePower>> device_power() const override {
    return reader_.device_power();
  }
  Result<std::vector<trace::DriverPool>> driver_pools() const override {
    return reader_.driver_pools();
  }
  Result<void> migrations(const Visit<trace::Migration>& visit) const override {
    return reader_.migrations(visit);
  }
  Result<std::vector<trace::ImportedMemory>> imports() const override { return reader_.imports(); }
  Result<std::vector<trace::Mapping>> mappings() const override { return reader_.mappings(); }
  Result<std::vector<trace::HostTotal>> host_totals() const override {
    return reader_.host_totals();
  }
  Result<std::vector<trace::HostCurvePoint>> host_curve() const override {
    return reader_.host_curve();
  }
  Result<void> query(const std::string& sql,
                     const std::function<void(std::span<const std::string>)>& columns,
                     const std::function<bool(std::span<const trace::Cell>)>& row) const override {
    return reader_.query(sql, columns, row);
  }
  Result<std::vector<trace::RecordingWindow>> windows() const override { return reader_.windows(); }

 private:
  const Reader& reader_;
  uint64_t from_;
};

// Gives what changes between two events its blocks; the last that came goes first.
class Rest {
 public:
  // At a position: `most` above what was there before, then `change` more or less than that.
  void add(int64_t position, int64_t most, int64_t change) {
    if (most > 0) put(static_cast<uint64_t>(most), position, position + 1);
    if (change > 0) open_.push_back(put(static_cast<uint64_t>(change), position + 2));
    if (change < 0) end(static_cast<uint64_t>(-change), position + 2);
  }
  std::vector<ScheduledBlock> take() { return std::move(blocks_); }

 private:
  size_t put(uint64_t bytes, int64_t begin, int64_t end = ScheduledBlock::kForever) {
    ScheduledBlock block;
    block.bytes = block.recorded_bytes = block.fixed_bytes = bytes;
    block.begin = begin;
    block.end = end;
    block.phase = Phase::kSetup;
    blocks_.push_back(block);
    return blocks_.size() - 1;
  }
  void end(uint64_t bytes, int64_t position) {
    while (bytes > 0 && !open_.empty()) {
      ScheduledBlock& last = blocks_[open_.back()];
      open_.pop_back();
      last.end = position;
      const uint64_t left = last.bytes - std::min(bytes, last.bytes);
      bytes -= last.bytes - left;
      if (left > 0) open_.push_back(put(left, position));
    }
  }

  std::vector<ScheduledBlock> blocks_;
  std::vector<size_t> open_;
};

}  // namespace

Result<uint64_t> large_from(const Reader& reader, const Series& series) {
  constexpr uint64_t kFew = 200'000;
  constexpr uint64_t kMostLarge = 100'000;
  std::array<uint64_t, 64> counts{};  // by the power of two from which on they are
  uint64_t all = 0;
  trace::AllocationFilter filter = filter_for(series);
  filter.any_order = true;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    all += batch.size();
    for (const trace::Allocation& row : batch) {
      if (row.size > 0) ++counts[static_cast<size_t>(std::bit_width(row.size) - 1)];
    }
  });
  if (!read) return tl::unexpected(read.error());
  if (all <= kFew) return 0;
  uint64_t large = 0;
  size_t power = counts.size();
  while (power > 0 && large + counts[power - 1] <= kMostLarge) large += counts[--power];
  return power == 0 ? 0 : uint64_t{1} << std::min<size_t>(power, 63);
}

std::unique_ptr<Reader> large_blocks_of(const Reader& reader, uint64_t from_bytes) {
  return std::make_unique<LargeBlocks>(reader, from_bytes);
}

Result<std::vector<SmallChange>> small_changes(const Reader& reader, const Series& series,
                                               uint64_t from_bytes) {
  std::vector<SmallChange> changes;
  trace::AllocationFilter filter = filter_for(series);
  filter.any_order = true;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (row.size >= from_bytes) continue;
      const auto bytes = static_cast<int64_t>(row.size);
      changes.push_back({row.alloc_ns, bytes});
      if (row.free_ns != trace::kNever) changes.push_back({row.free_ns, -bytes});
    }
  });
  if (!read) return tl::unexpected(read.error());
  return changes;
}

std::vector<ScheduledBlock> blocks_of_rest(std::span<const int64_t> event_ns,
                                           std::vector<SmallChange> changes) {
  // At one time frees come first, as everywhere.
  std::ranges::sort(changes, {}, [](const SmallChange& change) {
    return std::tuple(change.time_ns, change.bytes);
  });
  Rest rest;
  size_t next = 0;
  for (size_t event = 0; event <= event_ns.size(); ++event) {
    const bool last = event == event_ns.size();
    int64_t change = 0;
    int64_t most = 0;
    for (; next < changes.size() && (last || changes[next].time_ns < event_ns[event]); ++next) {
      change += changes[next].bytes;
      most = std::max(most, change);
    }
    // Behind the event before.
    const auto before = static_cast<int64_t>(event) - 1;
    rest.add(before * Schedule::kStride + Schedule::kStride / 2, most, change);
  }
  return rest.take();
}

}  // namespace tidemark::analyzer
