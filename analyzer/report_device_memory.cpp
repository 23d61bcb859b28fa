// What the driver says is in use of each device, beside what allocations explain: the rest are
// contexts, code, libraries and other processes, which no framework shows.
#include <algorithm>
#include <map>

#include "names.h"
#include "report_parts.h"

namespace tidemark::analyzer {
namespace {

using Samples = std::vector<const trace::DeviceMemory*>;

// The moment at which the recorded processes together held most; or everybody, where the driver
// does not tell processes apart. Samples of one moment stand together.
DeviceMemoryLine peak_of(const Samples& samples) {
  const bool told = std::any_of(samples.begin(), samples.end(), [](const auto* sample) {
    return sample->process != trace::ProcessId{};
  });
  DeviceMemoryLine peak;
  std::map<trace::ProcessId, uint64_t> held;
  uint64_t everybody = 0;
  uint64_t ours = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    const trace::DeviceMemory& sample = *samples[i];
    peak.total_bytes = std::max(peak.total_bytes, sample.total_bytes);
    if (sample.process == trace::ProcessId{}) {
      everybody = sample.used_bytes;
    } else {
      uint64_t& one = held[sample.process];
      ours += sample.used_bytes - one;
      one = sample.used_bytes;
    }
    if (i + 1 < samples.size() && samples[i + 1]->time_ns == sample.time_ns) continue;
    if ((told ? ours : everybody) <= (told ? peak.recorded_bytes.value_or(0) : peak.used_bytes)) {
      continue;
    }
    peak.at_ns = sample.time_ns;
    peak.used_bytes = everybody;
    if (told) peak.recorded_bytes = ours;
  }
  return peak;
}

// What the frameworks' pools held at the line's moment.
void add_pool_bytes(const std::vector<trace::PoolReserved>& samples, DeviceMemoryLine& line) {
  std::map<trace::ProcessId, uint64_t> reserved;
  for (const trace::PoolReserved& sample : samples) {
    if (sample.device == line.device && sample.time_ns <= line.at_ns) {
      reserved[sample.process] = sample.reserved_bytes;
    }
  }
  for (const auto& [process, bytes] : reserved) line.pool_bytes += bytes;
}

// What the driver's pools held then and nobody had.
void add_idle_bytes(const std::vector<trace::DriverPool>& samples, DeviceMemoryLine& line) {
  std::map<std::pair<trace::ProcessId, uint64_t>, const trace::DriverPool*> newest;
  for (const trace::DriverPool& sample : samples) {
    if (sample.device != line.device || sample.time_ns > line.at_ns) continue;
    const trace::DriverPool*& known = newest[{sample.process, sample.pool}];
    if (known == nullptr || known->time_ns <= sample.time_ns) known = &sample;
  }
  for (const auto& [pool, sample] : newest) {
    line.idle_bytes += sample->held_bytes - std::min(sample->held_bytes, sample->used_bytes);
  }
}

}  // namespace

int16_t device_on(const trace::Reader& reader, const std::string& bus) {
  constexpr int16_t kMostDevices = 1024;
  for (int16_t device = 0; device < kMostDevices; ++device) {
    const std::string told = reader.meta("cuda.device." + std::to_string(device) + ".pci_bus");
    if (told.empty()) break;
    if (lower(told) == bus) return device;
  }
  return trace::kNoDevice;
}

uint64_t DeviceMemoryLine::unexplained_bytes() const {
  const uint64_t held = recorded_bytes.value_or(used_bytes);
  const uint64_t explained = allocated_bytes + idle_bytes;
  return held - std::min(held, explained);
}

uint64_t DeviceMemoryLine::others_bytes() const {
  return recorded_bytes ? used_bytes - std::min(used_bytes, *recorded_bytes) : 0;
}

Result<void> add_device_memory(const trace::Reader& reader, Report& report) {
  const auto samples = reader.device_memory();
  if (!samples) return tl::unexpected(samples.error());
  const auto reserved = reader.pool_reserved();
  if (!reserved) return tl::unexpected(reserved.error());
  const auto driver_pools = reader.driver_pools();
  if (!driver_pools) return tl::unexpected(driver_pools.error());
  std::map<std::string, Samples> by_bus;
  for (const trace::DeviceMemory& sample : *samples) {
    by_bus[reader.text(sample.bus)].push_back(&sample);
  }
  for (auto& [bus, rows] : by_bus) {
    DeviceMemoryLine line = peak_of(rows);
    line.bus = bus;
    line.device = device_on(reader, bus);
    // A device that the program did not use explains nothing.
    if (line.device == trace::kNoDevice && line.recorded_bytes.value_or(0) == 0) continue;
    add_pool_bytes(*reserved, line);
    add_idle_bytes(*driver_pools, line);
    report.device_memory.push_back(std::move(line));
  }
  if (report.device_memory.empty()) return {};
  trace::AllocationFilter filter;
  filter.layer = trace::Layer::kDriver;
  filter.space = trace::Space::kDevice;
  return reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      for (DeviceMemoryLine& line : report.device_memory) {
        const bool lives = row.alloc_ns <= line.at_ns && line.at_ns < row.free_ns;
        if (row.device == line.device && lives) line.allocated_bytes += row.size;
      }
    }
  });
}

}  // namespace tidemark::analyzer
