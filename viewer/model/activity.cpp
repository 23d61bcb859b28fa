#include "tidemark/viewer/activity.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>
#include <unordered_map>

#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"
#include "tidemark/viewer/format.h"

namespace tidemark::viewer {
namespace {

class Builder {
 public:
  Builder(const trace::Reader& reader, const std::atomic<bool>* stop)
      : reader_(reader), stop_(stop) {
    activity_.texts.emplace_back();
  }

  Result<Activity> build() {
    ThreadCounts threads(reader_.end_ns());
    auto maps = load_maps(reader_, kMostBars, stop_, &threads);
    if (!maps) return tl::unexpected(maps.error());
    activity_.maps = std::move(*maps);
    add_threads(threads);
    read_capacities();
    Result<void> done = read_streams();
    if (done) done = read_markers();
    if (done) done = read_samples();
    if (done) done = read_out_of_memory();
    if (!done) return tl::unexpected(done.error());
    return std::move(activity_);
  }

 private:
  using StreamKey = std::tuple<trace::ProcessId, int16_t, uint32_t>;

  uint32_t text(std::string_view words) {
    const auto [place, fresh] = by_words_.try_emplace(std::string(words), activity_.texts.size());
    if (fresh) activity_.texts.push_back(analyzer::printable(words));
    return static_cast<uint32_t>(place->second);
  }
  uint32_t text(trace::StringId id) {
    const auto [place, fresh] = by_id_.try_emplace(id, 0);
    if (fresh) place->second = text(reader_.text(id));
    return place->second;
  }

  bool room() {
    if (slices_++ < kMostSlices) return true;
    ++activity_.unseen_slices;
    return false;
  }

  void read_capacities() {
    for (size_t device = 0; device < 64; ++device) {
      const std::string value =
          reader_.meta(fmt::format("cuda.device.{}.total_memory_bytes", device));
      if (value.empty()) break;
      int64_t bytes = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), bytes);
      activity_.capacity_bytes.push_back(error == std::errc() && bytes > 0 ? bytes : 0);
    }
  }

  Result<void> read_streams() {
    std::map<StreamKey, std::vector<Slice>> lanes;
    auto read = reader_.kernels([&](std::span<const trace::Kernel> batch) {
      for (const trace::Kernel& row : batch) {
        if (!room()) continue;
        lanes[{row.process, row.device, row.stream}].push_back(
            {row.start_ns, row.end_ns, row.id, text(row.name), SliceKind::kKernel});
      }
    });
    if (!read) return read;
    read = reader_.transfers([&](std::span<const trace::Transfer> batch) {
      for (const trace::Transfer& row : batch) {
        if (!room()) continue;
        const SliceKind kind = row.kind == trace::TransferKind::kHtoD   ? SliceKind::kCopyToDevice
                               : row.kind == trace::TransferKind::kDtoH ? SliceKind::kCopyToHost
                                                                        : SliceKind::kCopyOther;
        const std::string name = fmt::format("copy {} {}", trace::to_string(row.kind),
                                             format_bytes(clamp_bytes(row.bytes)));
        lanes[{row.process, row.device, row.stream}].push_back(
            {row.start_ns, row.end_ns, row.id, text(name), kind});
      }
    });
    if (!read) return read;
    read = reader_.memsets([&](std::span<const trace::Memset> batch) {
      for (const trace::Memset& row : batch) {
        if (!room()) continue;
        lanes[{row.process, row.device, row.stream}].push_back(
            {row.start_ns, row.end_ns, row.id,
             text(fmt::format("set {}", format_bytes(clamp_bytes(row.bytes)))), SliceKind::kSet});
      }
    });
    if (!read) return read;
    const bool several = reader_.processes().size() > 1;
    for (auto& [key, slices] : lanes) {
      const auto& [process, device, stream] = key;
      std::string name = fmt::format("stream {}", stream);
      if (device > 0 || activity_.capacity_bytes.size() > 1)
        name += fmt::format(" of device {}", device);
      if (several) name += fmt::format(", {}", process_name(process));
      activity_.streams.push_back({std::move(name), device, SliceLane(std::move(slices))});
    }
    return {};
  }

  static int64_t clamp_bytes(uint64_t bytes) {
    return static_cast<int64_t>(std::min<uint64_t>(bytes, INT64_MAX));
  }

  std::string process_name(trace::ProcessId id) const {
    for (const trace::Process& process : reader_.processes()) {
      if (process.id != id) continue;
      std::string name = process.rank >= 0 ? fmt::format("rank {}", process.rank)
                                           : fmt::format("process {}", process.pid);
      return name;
    }
    return "process ?";
  }

  std::string thread_name(trace::ThreadId id) const {
    for (const trace::Thread& thread : reader_.threads()) {
      if (thread.id != id) continue;
      return fmt::format("{} ({})", analyzer::printable(thread.name), thread.tid);
    }
    return "thread ?";
  }

  void add_threads(const ThreadCounts& counts) {
    for (auto& [id, track] : counts.tracks()) {
      if (activity_.threads.size() == kMostThreads) {
        ++activity_.unseen_threads;
        continue;
      }
      activity_.threads.push_back(std::move(track));
      ThreadTrack& kept = activity_.threads.back();
      kept.name = "thread " + thread_name(id);
      kept.pyramid = PeakPyramid(kept.points);
    }
  }

  Result<void> read_markers() {
    std::map<std::pair<trace::ProcessId, trace::ThreadId>, std::vector<Slice>> threads;
    auto read = reader_.markers([&](std::span<const trace::Marker> batch) {
      for (const trace::Marker& row : batch) {
        if (!room()) continue;
        const int64_t end = row.end_ns == trace::kNever ? reader_.end_ns() : row.end_ns;
        threads[{row.process, row.thread}].push_back(
            {row.start_ns, end, static_cast<int64_t>(row.id), text(row.name), SliceKind::kRange});
      }
    });
    if (!read) return read;
    constexpr size_t kMostLanes = 6;
    for (auto& [key, slices] : threads) {
      activity_.ranges.push_back(
          {"ranges of " + thread_name(key.second), nest(std::move(slices), kMostLanes)});
    }
    return {};
  }

  void add_samples(std::string name, std::vector<analyzer::UsagePoint> points, int64_t limit,
                   SampleUnit unit = SampleUnit::kBytes) {
    std::stable_sort(points.begin(), points.end(),
                     [](const auto& a, const auto& b) { return a.time_ns < b.time_ns; });
    SampleTrack track{std::move(name), {}, {}, 0, limit, unit};
    for (const auto& point : points) {
      if (!track.points.empty() && track.points.back().time_ns == point.time_ns) {
        track.points.back().bytes = std::max(track.points.back().bytes, point.bytes);
      } else {
        track.points.push_back(point);
      }
      track.peak = std::max(track.peak, point.bytes);
    }
    track.pyramid = PeakPyramid(track.points);
    activity_.samples.push_back(std::move(track));
  }

  Result<void> read_samples() {
    const auto resident = reader_.process_memory();
    if (!resident) return tl::unexpected(resident.error());
    std::map<trace::ProcessId, std::vector<analyzer::UsagePoint>> processes;
    for (const trace::ProcessMemory& row : *resident) {
      processes[row.process].push_back({row.time_ns, std::max<int64_t>(row.rss_bytes, 0)});
    }
    for (auto& [process, points] : processes) {
      add_samples("resident, " + process_name(process), std::move(points), 0);
    }
    const auto devices = reader_.device_memory();
    if (!devices) return tl::unexpected(devices.error());
    std::map<trace::StringId, std::pair<std::vector<analyzer::UsagePoint>, uint64_t>> buses;
    for (const trace::DeviceMemory& row : *devices) {
      if (row.process != trace::ProcessId{}) continue;
      auto& [points, total] = buses[row.bus];
      points.push_back({row.time_ns, clamp_bytes(row.used_bytes)});
      total = std::max(total, row.total_bytes);
    }
    for (auto& [bus, curve] : buses) {
      add_samples("whole device " + analyzer::printable(reader_.text(bus)), std::move(curve.first),
                  clamp_bytes(curve.second));
    }
    return read_power();
  }

  Result<void> read_power() {
    const auto rows = reader_.device_power();
    if (!rows) return tl::unexpected(rows.error());
    std::map<trace::StringId, std::vector<analyzer::UsagePoint>> buses;
    for (const trace::DevicePower& row : *rows) {
      buses[row.bus].push_back({row.time_ns, std::max<int64_t>(row.power_mw, 0)});
    }
    for (auto& [bus, points] : buses) {
      add_samples("power " + analyzer::printable(reader_.text(bus)), std::move(points), 0,
                  SampleUnit::kMilliwatts);
    }
    return {};
  }

  Result<void> read_out_of_memory() {
    const auto events = reader_.out_of_memory();
    if (!events) return tl::unexpected(events.error());
    for (const trace::OutOfMemory& event : *events) {
      activity_.out_of_memory.push_back(
          {event.time_ns, fmt::format("out of memory: {} asked for, {} allocated, {} reserved",
                                      format_bytes(clamp_bytes(event.requested_bytes)),
                                      format_bytes(clamp_bytes(event.allocated_bytes)),
                                      format_bytes(clamp_bytes(event.reserved_bytes)))});
    }
    return {};
  }

  const trace::Reader& reader_;
  const std::atomic<bool>* stop_;
  Activity activity_;
  size_t slices_ = 0;
  std::unordered_map<std::string, size_t> by_words_;
  std::unordered_map<trace::StringId, uint32_t> by_id_;
};

}  // namespace

std::string format_sample(int64_t value, SampleUnit unit) {
  return unit == SampleUnit::kBytes ? format_bytes(value) : analyzer::format_watts(value);
}

const BlockMap* Activity::map_of(const analyzer::Series& series) const {
  const auto found = std::find_if(maps.begin(), maps.end(),
                                  [&](const BlockMap& map) { return map.series() == series; });
  return found == maps.end() ? nullptr : &*found;
}

int64_t Activity::capacity_of(const analyzer::Series& series) const {
  if (series.space != trace::Space::kDevice || series.device < 0) return 0;
  const auto device = static_cast<size_t>(series.device);
  return device < capacity_bytes.size() ? capacity_bytes[device] : 0;
}

Result<Activity> load_activity(const trace::Reader& reader, const std::atomic<bool>* stop) {
  return Builder(reader, stop).build();
}

}  // namespace tidemark::viewer
