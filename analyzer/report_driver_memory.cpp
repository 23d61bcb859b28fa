// What the driver tells of memory beside allocations: its pools, the pages of managed memory, and
// what is opened of other processes.
#include <algorithm>
#include <map>
#include <utility>

#include "report_parts.h"

namespace tidemark::analyzer {
namespace {

// A process's pool.
using PoolKey = std::pair<trace::ProcessId, uint64_t>;

DriverPoolLine line_of(std::vector<const trace::DriverPool*> samples) {
  std::ranges::stable_sort(samples, {}, [](const auto* sample) { return sample->time_ns; });
  DriverPoolLine line;
  line.device = samples.front()->device;
  std::map<PoolKey, const trace::DriverPool*> last;
  uint64_t held = 0;
  uint64_t used = 0;
  for (const trace::DriverPool* sample : samples) {
    const trace::DriverPool*& before = last[{sample->process, sample->pool}];
    held += sample->held_bytes - (before == nullptr ? 0 : before->held_bytes);
    used += sample->used_bytes - (before == nullptr ? 0 : before->used_bytes);
    before = sample;
    line.peak_used_bytes = std::max(line.peak_used_bytes, used);
    if (held <= line.peak_held_bytes) continue;
    line.peak_held_bytes = held;
    line.peak_held_ns = sample->time_ns;
    line.used_then_bytes = used;
  }
  line.pools = last.size();
  return line;
}

// Of one device. A block of which the size is not told counts as none.
ImportLine line_of(const std::vector<const trace::ImportedMemory*>& imports) {
  ImportLine line;
  line.device = imports.front()->device;
  std::vector<std::pair<int64_t, int64_t>> changes;  // what closes at a moment comes first
  for (const trace::ImportedMemory* import : imports) {
    ++line.count;
    line.of_unknown_size += import->size == 0 ? 1 : 0;
    line.never_closed += import->close_ns == trace::kNever ? 1 : 0;
    const auto bytes = static_cast<int64_t>(import->size);
    if (bytes <= 0 || import->close_ns <= import->open_ns) continue;
    changes.emplace_back(import->open_ns, bytes);
    if (import->close_ns != trace::kNever) changes.emplace_back(import->close_ns, -bytes);
  }
  std::ranges::sort(changes);
  int64_t open = 0;
  for (const auto& [time_ns, bytes] : changes) {
    if (__builtin_add_overflow(open, bytes, &open)) break;  // a damaged trace
    line.peak_bytes = std::max(line.peak_bytes, open);
  }
  return line;
}

}  // namespace

Result<void> add_driver_memory(const trace::Reader& reader, Report& report) {
  const auto pools = reader.driver_pools();
  if (!pools) return tl::unexpected(pools.error());
  std::map<int16_t, std::vector<const trace::DriverPool*>> pools_of;
  for (const trace::DriverPool& sample : *pools) pools_of[sample.device].push_back(&sample);
  for (auto& [device, samples] : pools_of) {
    DriverPoolLine line = line_of(std::move(samples));
    if (line.peak_held_bytes != 0) report.driver_pools.push_back(line);  // else they are unused
  }

  std::map<trace::MigrationKind, MigrationLine> migrations;
  const auto read = reader.migrations([&](std::span<const trace::Migration> batch) {
    for (const trace::Migration& row : batch) {
      MigrationLine& line = migrations[row.kind];
      line.kind = row.kind;
      ++line.count;
      line.bytes += row.bytes;
      line.faults += row.faults;
      add_duration(line.duration_ns, row.start_ns, row.end_ns);
    }
  });
  if (!read) return tl::unexpected(read.error());
  for (const auto& [kind, line] : migrations) report.migrations.push_back(line);

  const auto imports = reader.imports();
  if (!imports) return tl::unexpected(imports.error());
  std::map<int16_t, std::vector<const trace::ImportedMemory*>> imports_of;
  for (const trace::ImportedMemory& import : *imports) {
    imports_of[import.device].push_back(&import);
  }
  for (const auto& [device, rows] : imports_of) report.imports.push_back(line_of(rows));
  return {};
}

}  // namespace tidemark::analyzer
