// Out of memory: what was asked for, what there was and in which pieces, and what lived then.
#include <algorithm>
#include <map>

#include "lifetimes.h"
#include "live_groups.h"
#include "report_parts.h"

namespace tidemark::analyzer {
namespace {

constexpr size_t kDetailed = 5;  // events; each costs a pass over the device's rows

struct Piece {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool operator<(const Piece& other) const { return begin < other.begin; }
};

// Rows of the event's process, device and moment.
Result<void> live_rows(const trace::Reader& reader, const trace::OutOfMemory& event,
                       trace::Layer layer,
                       const std::function<void(const trace::Allocation&)>& visit) {
  const Lifetimes lifetimes(reader);
  trace::AllocationFilter filter;
  filter.layer = layer;
  filter.space = trace::Space::kDevice;
  if (event.device != trace::kNoDevice) filter.device = event.device;
  const int64_t moment = std::min(event.time_ns, trace::kNever - 1);
  filter.begin_ns = moment;
  filter.end_ns = moment + 1;
  return reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      const bool lives = row.alloc_ns <= moment && moment < lifetimes.end_ns(row);
      if (lives && row.process == event.process) visit(row);
    }
  });
}

Piece piece_of(const trace::Allocation& row) {
  uint64_t end = 0;
  if (__builtin_add_overflow(row.address, row.size, &end)) end = UINT64_MAX;
  return {row.address, end};
}

// The largest gap between `blocks` (ascending) in the segments in which some block lies.
uint64_t largest_hole(std::vector<Piece>& segments, const std::vector<Piece>& blocks) {
  uint64_t largest = 0;
  for (const Piece& segment : segments) {
    auto block = std::lower_bound(blocks.begin(), blocks.end(), Piece{segment.begin, 0});
    if (block == blocks.end() || block->begin >= segment.end) continue;
    uint64_t at = segment.begin;
    for (; block != blocks.end() && block->begin < segment.end; ++block) {
      largest = std::max(largest, block->begin - std::min(block->begin, at));
      at = std::max(at, block->end);
    }
    largest = std::max(largest, segment.end - std::min(segment.end, at));
  }
  return largest;
}

// No pool stands between the program and the driver.
Result<void> add_driver_details(const trace::Reader& reader, const ReportOptions& options,
                                OutOfMemoryLine& line) {
  LiveGroups groups;
  auto read = live_rows(reader, line.event, trace::Layer::kDriver,
                        [&](const auto& row) { groups.add(row); });
  if (!read) return read;
  const Series series{trace::Layer::kDriver, trace::Space::kDevice, line.event.device};
  line.live = shares_of(reader, groups.take(series, line.event.time_ns), options);
  line.live_layer = trace::Layer::kDriver;
  return {};
}

// PyTorch's pool, which is refused memory, gives back what it holds unused and asks again; should
// that be refused too, it says so itself.
bool asked_by_pool(const trace::Reader& reader, const trace::OutOfMemory& event) {
  const auto frames = reader.frames(event.stack);
  return event.layer == trace::Layer::kDriver &&
         std::any_of(frames.begin(), frames.end(), [](const trace::Frame& frame) {
           return frame.module.find("libc10_cuda") != std::string::npos;
         });
}

Result<void> add_details(const trace::Reader& reader, const ReportOptions& options,
                         OutOfMemoryLine& line) {
  std::vector<Piece> blocks;
  LiveGroups groups;
  auto read = live_rows(reader, line.event, trace::Layer::kPool, [&](const auto& row) {
    blocks.push_back(piece_of(row));
    groups.add(row);
  });
  if (!read) return read;
  if (line.event.layer == trace::Layer::kDriver || blocks.empty()) {
    return add_driver_details(reader, options, line);
  }
  const Series series{trace::Layer::kPool, trace::Space::kDevice, line.event.device};
  line.live = shares_of(reader, groups.take(series, line.event.time_ns), options);
  std::vector<Piece> segments;
  bool mapped = false;  // memory whose row has a handle and not an address
  read = live_rows(reader, line.event, trace::Layer::kDriver, [&](const auto& row) {
    mapped |= reader.text(row.api) == "cuMemCreate";
    segments.push_back(piece_of(row));
  });
  if (!read || mapped) return read;
  std::sort(blocks.begin(), blocks.end());
  line.largest_hole_bytes = largest_hole(segments, blocks);
  return {};
}

// The bus of a device of the program, as device_memory has it; "": not told.
std::string bus_of(const trace::Reader& reader, int16_t device) {
  std::string bus = reader.meta("cuda.device." + std::to_string(device) + ".pci_bus");
  for (char& c : bus) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return bus;
}

void add_device_free(const trace::Reader& reader, const std::vector<trace::DeviceMemory>& samples,
                     OutOfMemoryLine& line) {
  const std::string bus = bus_of(reader, line.event.device);
  if (bus.empty()) return;
  for (const trace::DeviceMemory& sample : samples) {
    if (sample.process != trace::ProcessId{} || sample.time_ns > line.event.time_ns) continue;
    if (reader.text(sample.bus) != bus) continue;
    line.device_free_bytes = sample.total_bytes - std::min(sample.total_bytes, sample.used_bytes);
    line.device_total_bytes = sample.total_bytes;
  }
}

}  // namespace

Result<void> add_out_of_memory(const trace::Reader& reader, const ReportOptions& options,
                               Report& report) {
  const auto events = reader.out_of_memory();
  if (!events) return tl::unexpected(events.error());
  const auto samples = reader.device_memory();
  if (!samples) return tl::unexpected(samples.error());
  uint64_t refused_to_pool = 0;
  for (const trace::OutOfMemory& event : *events) {
    if (asked_by_pool(reader, event)) {
      ++refused_to_pool;
      continue;
    }
    OutOfMemoryLine line;
    line.event = event;
    if (options.stacks > 0)
      line.stack = view_stack(reader.frames(event.stack), options.stack_lines);
    add_device_free(reader, *samples, line);
    report.out_of_memory.push_back(std::move(line));
  }
  if (refused_to_pool > 0) {
    report.remarks.push_back("the driver refused memory to the framework's pool " +
                             std::to_string(refused_to_pool) +
                             (refused_to_pool == 1 ? " time" : " times") +
                             "; it then gave back what it held unused, and asked again");
  }
  std::stable_sort(report.out_of_memory.begin(), report.out_of_memory.end(),
                   [](const OutOfMemoryLine& a, const OutOfMemoryLine& b) {
                     return a.event.time_ns < b.event.time_ns;
                   });
  for (size_t i = 0; i < std::min(kDetailed, report.out_of_memory.size()); ++i) {
    if (auto added = add_details(reader, options, report.out_of_memory[i]); !added) return added;
  }
  return {};
}

}  // namespace tidemark::analyzer
