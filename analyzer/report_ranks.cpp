// The ranks of a distributed job beside each other.
#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>

#include "lifetimes.h"
#include "report_parts.h"

namespace tidemark::analyzer {
namespace {

// Bytes that come and go, in any order of time until peak() is asked.
class Changes {
 public:
  void add(int64_t begin_ns, int64_t end_ns, uint64_t bytes) {
    changes_.push_back({begin_ns, static_cast<int64_t>(bytes)});
    if (end_ns != trace::kNever) changes_.push_back({end_ns, -static_cast<int64_t>(bytes)});
  }
  uint64_t peak() {
    // At one moment what goes comes first.
    std::sort(changes_.begin(), changes_.end());
    int64_t sum = 0;
    int64_t most = 0;
    for (const auto& [time_ns, bytes] : changes_) {
      if (__builtin_add_overflow(sum, bytes, &sum)) break;  // a trace is untrusted
      most = std::max(most, sum);
    }
    return static_cast<uint64_t>(most);
  }

 private:
  std::vector<std::pair<int64_t, int64_t>> changes_;
};

struct RankChanges {
  Changes pool, driver, communicator, pinned;
  std::set<int16_t> devices;
};

bool is_communicator(std::string_view source) {
  constexpr std::array kLibraries = {"libnccl", "librccl", "libnvshmem", "libucx", "libuct"};
  return std::any_of(kLibraries.begin(), kLibraries.end(),
                     [source](const char* name) { return source.starts_with(name); });
}

using RankOf = std::unordered_map<int32_t, int32_t>;  // by ProcessId

Result<void> read_layer(const trace::Reader& reader, trace::Layer layer, const RankOf& ranks,
                        std::map<int32_t, RankChanges>& all) {
  const Lifetimes lifetimes(reader);
  std::unordered_map<int64_t, bool> communicators;  // by StringId
  trace::AllocationFilter filter;
  filter.layer = layer;
  return reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      const auto rank = ranks.find(static_cast<int32_t>(row.process));
      if (rank == ranks.end()) continue;
      RankChanges& changes = all[rank->second];
      const int64_t end_ns = lifetimes.end_ns(row);
      const auto add = [&](Changes& to) { to.add(row.alloc_ns, end_ns, row.size); };
      if (row.space == trace::Space::kPinned) add(changes.pinned);
      if (row.space != trace::Space::kDevice) continue;
      if (row.device != trace::kNoDevice) changes.devices.insert(row.device);
      add(layer == trace::Layer::kPool ? changes.pool : changes.driver);
      if (layer == trace::Layer::kPool) continue;
      const auto [known, fresh] =
          communicators.try_emplace(static_cast<int64_t>(row.source), false);
      if (fresh) known->second = is_communicator(reader.text(row.source));
      if (known->second) add(changes.communicator);
    }
  });
}

void add_process(const ProcessLine& process, RankLine& line) {
  ++line.processes;
  if (process.memory.heap_peak) {
    line.heap_bytes = std::max(line.heap_bytes, process.memory.heap_peak->bytes);
  }
  if (process.memory.system) {
    const auto resident =
        static_cast<uint64_t>(std::max<int64_t>(process.memory.system->peak_rss_bytes, 0));
    line.resident_bytes = std::max(line.resident_bytes.value_or(0), resident);
  }
}

}  // namespace

Result<void> add_ranks(const trace::Reader& reader, Report& report) {
  RankOf rank_of;
  std::map<int32_t, RankLine> lines;
  for (const ProcessLine& process : report.processes) {
    const int32_t rank = process.process.rank;
    if (rank < 0) continue;
    rank_of.emplace(static_cast<int32_t>(process.process.id), rank);
    add_process(process, lines[rank]);
  }
  if (lines.size() < 2) return {};
  std::map<int32_t, RankChanges> changes;
  for (const trace::Layer layer : {trace::Layer::kPool, trace::Layer::kDriver}) {
    if (auto read = read_layer(reader, layer, rank_of, changes); !read) return read;
  }
  for (auto& [rank, line] : lines) {
    line.rank = rank;
    RankChanges& own = changes[rank];
    line.pool_bytes = own.pool.peak();
    line.driver_bytes = own.driver.peak();
    line.communicator_bytes = own.communicator.peak();
    line.pinned_bytes = own.pinned.peak();
    line.devices.assign(own.devices.begin(), own.devices.end());
    report.ranks.push_back(std::move(line));
  }
  return {};
}

}  // namespace tidemark::analyzer
