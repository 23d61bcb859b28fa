// What share of the device's memory anything was done with.
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "report_parts.h"

namespace tidemark::analyzer {
namespace {

using trace::AllocationId;

using Ids = std::unordered_set<int64_t>;

// The blocks that kernels, copies and sets name.
Result<Ids> touched_by_anything(const trace::Reader& reader, uint64_t& accesses) {
  Ids touched;
  const auto add = [&](AllocationId id) {
    if (id != AllocationId{}) touched.insert(static_cast<int64_t>(id));
  };
  auto read = reader.accesses({}, [&](std::span<const trace::Access> batch) {
    accesses += batch.size();
    for (const trace::Access& access : batch) add(access.allocation);
  });
  if (read) {
    read = reader.transfers([&](std::span<const trace::Transfer> batch) {
      for (const trace::Transfer& transfer : batch) {
        add(transfer.src_allocation);
        add(transfer.dst_allocation);
      }
    });
  }
  if (read) {
    read = reader.memsets([&](std::span<const trace::Memset> batch) {
      for (const trace::Memset& memset : batch) add(memset.allocation);
    });
  }
  if (!read) return tl::unexpected(read.error());
  return touched;
}

// Which driver allocations of one process a pool has cut into blocks. Rows come in the order in
// which the collector saw them, so what was inserted last at an address is what lives there.
class Segments {
 public:
  void add(const trace::Allocation& row) { by_start_[row.address] = row; }
  // The driver's allocation that holds this address; 0: none.
  [[nodiscard]] AllocationId at(uint64_t address) const {
    const auto after = by_start_.upper_bound(address);
    if (after == by_start_.begin()) return {};
    const trace::Allocation& row = std::prev(after)->second;
    return address - row.address < row.size ? row.id : AllocationId{};
  }

 private:
  std::map<uint64_t, trace::Allocation> by_start_;
};

}  // namespace

Result<void> add_accesses(const trace::Reader& reader, Report& report) {
  AccessTotal total;
  const auto touched = touched_by_anything(reader, total.accesses);
  if (!touched) return tl::unexpected(touched.error());
  if (total.accesses == 0) return {};
  std::unordered_map<int64_t, uint64_t> driver_bytes;  // of allocations without blocks of pools
  std::map<trace::ProcessId, Segments> segments;
  const auto count = [&](int64_t id, uint64_t bytes) {
    ++total.blocks;
    total.bytes += bytes;
    if (!touched->contains(id)) return;
    ++total.touched_blocks;
    total.touched_bytes += bytes;
  };
  for (const trace::Layer layer : {trace::Layer::kDriver, trace::Layer::kPool}) {
    trace::AllocationFilter filter;
    filter.layer = layer;
    filter.space = trace::Space::kDevice;
    if (layer == trace::Layer::kPool) filter.layer.reset();
    auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
      for (const trace::Allocation& row : batch) {
        const auto id = static_cast<int64_t>(row.id);
        if (layer == trace::Layer::kDriver) {
          driver_bytes.emplace(id, row.size);
        } else if (row.layer == trace::Layer::kDriver) {
          segments[row.process].add(row);
        } else if (row.layer == trace::Layer::kPool) {
          driver_bytes.erase(static_cast<int64_t>(segments[row.process].at(row.address)));
          count(id, row.size);
        }
      }
    });
    if (!read) return read;
  }
  for (const auto& [id, bytes] : driver_bytes) count(id, bytes);
  report.accesses = total;
  return {};
}

}  // namespace tidemark::analyzer
