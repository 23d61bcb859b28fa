// Copies between host and device that take longer than they need, and a device that waits for them.
// Looked at is the work: iterations after the warm-up where there are any, else all from the first
// to the last event of the device.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "findings_parts.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

using trace::TransferKind;

// What a copy below this takes is latency.
constexpr uint64_t kSmallBytes = uint64_t{64} << 10;
constexpr uint64_t kInputBytes = uint64_t{4} << 10;
constexpr size_t kSeveral = 4;

struct Span {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  int64_t length() const { return between(begin_ns, end_ns); }
};

struct Copy {
  Span span;
  uint64_t bytes = 0;
  bool to_device = false;
  bool pageable = false;
  trace::StackId stack{};
};

// All of one device.
struct Device {
  std::vector<Copy> copies;        // between host and device
  std::vector<Span> kernels;       // merged, ascending
  std::vector<Span> others;        // copies on the device, sets
  double best_pinned[2] = {0, 0};  // bytes/ns of large pinned copies: from, to the device
};
using Devices = std::map<int16_t, Device>;

void merge(std::vector<Span>& spans) {
  std::sort(spans.begin(), spans.end(),
            [](const Span& a, const Span& b) { return a.begin_ns < b.begin_ns; });
  size_t kept = 0;
  for (const Span& span : spans) {
    if (kept > 0 && span.begin_ns <= spans[kept - 1].end_ns) {
      spans[kept - 1].end_ns = std::max(spans[kept - 1].end_ns, span.end_ns);
    } else {
      spans[kept++] = span;
    }
  }
  spans.resize(kept);
}

void add_copy(const trace::Transfer& row, Device& device) {
  const Span span{row.start_ns, row.end_ns};
  const bool to_device = row.kind == TransferKind::kHtoD;
  if (!to_device && row.kind != TransferKind::kDtoH) {
    device.others.push_back(span);
    return;
  }
  const trace::Space host = to_device ? row.src_space : row.dst_space;
  device.copies.push_back({span, row.bytes, to_device, host == trace::Space::kHost, row.stack});
  constexpr uint64_t large = uint64_t{1} << 20;
  if (host != trace::Space::kPinned || row.bytes < large || span.length() <= 0) return;
  double& best = device.best_pinned[to_device ? 1 : 0];
  best = std::max(best, static_cast<double>(row.bytes) / static_cast<double>(span.length()));
}

Result<Devices> devices_of(const trace::Reader& reader) {
  Devices devices;
  auto read = reader.transfers([&](std::span<const trace::Transfer> batch) {
    for (const trace::Transfer& row : batch) add_copy(row, devices[row.device]);
  });
  // Without copies there is nothing to say, and kernels may be 10^8.
  const bool copies = std::any_of(devices.begin(), devices.end(),
                                  [](const auto& one) { return !one.second.copies.empty(); });
  if (!copies) return Devices{};
  if (read) {
    read = reader.kernels([&](std::span<const trace::Kernel> batch) {
      for (const trace::Kernel& row : batch) {
        devices[row.device].kernels.push_back({row.start_ns, row.end_ns});
      }
    });
  }
  if (read) {
    read = reader.memsets([&](std::span<const trace::Memset> batch) {
      for (const trace::Memset& row : batch) {
        devices[row.device].others.push_back({row.start_ns, row.end_ns});
      }
    });
  }
  if (!read) return tl::unexpected(read.error());
  for (auto& [number, device] : devices) merge(device.kernels);
  return devices;
}

// "32.0 GT/s PCIe x16" in bytes/ns, coding and protocol taken off.
double link_rate(const std::string& link) {
  constexpr double coding = 128.0 / 130.0;
  constexpr double protocol = 0.85;
  constexpr double bits = 8;
  double transfers = 0;
  unsigned lanes = 0;
  const size_t x = link.rfind('x');
  if (x == std::string::npos) return 0;
  std::from_chars(link.data(), link.data() + link.size(), transfers);
  std::from_chars(link.data() + x + 1, link.data() + link.size(), lanes);
  return transfers * lanes / bits * coding * protocol;
}

struct Attainable {
  double bytes_per_ns = 0;
  std::string source;
};

std::optional<Attainable> attainable(const trace::Reader& reader, int16_t number,
                                     const Device& device, bool to_device) {
  const double measured = device.best_pinned[to_device ? 1 : 0];
  if (measured > 0) return Attainable{measured, "as pinned copies here did"};
  const std::string link = reader.meta(fmt::format("cuda.device.{}.pcie_link", number));
  const double rate = link_rate(link);
  if (rate <= 0) return std::nullopt;
  return Attainable{rate, "of its link, " + link};
}

Span work_of(const Search& search, const Device& device) {
  Span work{trace::kNever, 0};
  for (const Iteration& iteration : search.structure.iterations) {
    if (iteration.warm_up) continue;
    work.begin_ns = std::min(work.begin_ns, iteration.begin_ns);
    work.end_ns = std::max(work.end_ns, iteration.end_ns);
  }
  if (work.begin_ns == trace::kNever) {
    for (const Copy& copy : device.copies) {
      work.begin_ns = std::min(work.begin_ns, copy.span.begin_ns);
      work.end_ns = std::max(work.end_ns, copy.span.end_ns);
    }
    if (!device.kernels.empty()) {
      work.begin_ns = std::min(work.begin_ns, device.kernels.front().begin_ns);
      work.end_ns = std::max(work.end_ns, device.kernels.back().end_ns);
    }
  }
  if (search.windowed && !search.windows.empty()) {
    work.begin_ns = std::max(work.begin_ns, search.windows.front().begin_ns);
    work.end_ns = std::min(work.end_ns, search.windows.front().end_ns);
  }
  return work;
}

// Copies of one line of code.
struct Line {
  CodeLine line;
  uint64_t bytes = 0;
  size_t count = 0;
  double time_ns = 0;
  double lost_ns = 0;
  std::optional<Example> worst;
  double worst_ns = 0;  // that it lost

  void add(const Copy& copy, double lost) {
    bytes += copy.bytes;
    ++count;
    time_ns += static_cast<double>(copy.span.length());
    lost_ns += lost;
    if (!worst || lost > worst_ns) {
      worst = Example{{}, copy.span.begin_ns, copy.span.end_ns};
      worst_ns = lost;
    }
  }
};
using Lines = std::map<std::string, Line>;

class Finder {
 public:
  Finder(const Search& search, int16_t number, const Device& device, std::vector<Finding>& findings)
      : search_(search),
        number_(number),
        device_(device),
        work_(work_of(search, device)),
        findings_(findings) {}

  void find() {
    if (work_.length() <= 0) return;
    for (const bool to_device : {true, false}) {
      const auto rate = attainable(search_.reader, number_, device_, to_device);
      if (!rate) continue;
      find_pageable(to_device, *rate);
      find_small(to_device, *rate);
    }
    find_serial();
    find_waits();
  }

 private:
  Line& line_of(Lines& lines, trace::StackId stack) {
    const auto [known, fresh] = known_.try_emplace(stack);
    if (fresh) known->second = code_line(search_.reader.frames(stack));
    Line& line = lines[known->second.file + known->second.name];
    line.line = known->second;
    return line;
  }

  bool within_work(const Copy& copy) const {
    return copy.span.begin_ns >= work_.begin_ns && copy.span.end_ns <= work_.end_ns;
  }

  void find_pageable(bool to_device, const Attainable& rate) {
    Lines lines;
    for (const Copy& copy : device_.copies) {
      if (copy.to_device != to_device || !copy.pageable || !within_work(copy)) continue;
      if (copy.bytes < kSmallBytes) continue;
      const double needed = static_cast<double>(copy.bytes) / rate.bytes_per_ns;
      line_of(lines, copy.stack)
          .add(copy, std::max(0.0, static_cast<double>(copy.span.length()) - needed));
    }
    say(
        Pattern::kPageableCopies, lines, 1,
        [&](const Line& line) {
          return fmt::format(
              "copied {} pageable memory at {:.1f} GB/s; pinned, {:.1f} GB/s are to be "
              "had ({})",
              to_device ? "from" : "to", static_cast<double>(line.bytes) / line.time_ns,
              rate.bytes_per_ns, rate.source);
        },
        "pin the host's side (cudaMallocHost; pin_memory=True) and copy asynchronously "
        "(cudaMemcpyAsync; non_blocking=True)");
  }

  void find_small(bool to_device, const Attainable& rate) {
    Lines lines;
    for (const Copy& copy : device_.copies) {
      if (copy.to_device != to_device || copy.bytes >= kSmallBytes || !within_work(copy)) continue;
      const double needed = static_cast<double>(copy.bytes) / rate.bytes_per_ns;
      line_of(lines, copy.stack)
          .add(copy, std::max(0.0, static_cast<double>(copy.span.length()) - needed));
    }
    constexpr size_t many = 100;
    say(
        Pattern::kSmallCopies, lines, many,
        [](const Line& line) {
          return fmt::format(
              "each copies {} on average and takes {}, nearly all of it to get going",
              format_bytes(line.bytes / line.count),
              format_ns(static_cast<int64_t>(line.time_ns / static_cast<double>(line.count))));
        },
        "gather them in one buffer and copy that");
  }

  // The part of a span in which no kernel ran.
  double exposed(const Span& span) const {
    int64_t left = span.length();
    auto kernel =
        std::lower_bound(device_.kernels.begin(), device_.kernels.end(), span.begin_ns,
                         [](const Span& busy, int64_t time) { return busy.end_ns <= time; });
    for (; kernel != device_.kernels.end() && kernel->begin_ns < span.end_ns; ++kernel) {
      left -=
          between(std::max(kernel->begin_ns, span.begin_ns), std::min(kernel->end_ns, span.end_ns));
    }
    return static_cast<double>(left);
  }

  void find_serial() {
    const auto rate = attainable(search_.reader, number_, device_, true);
    Lines lines;
    for (const Copy& copy : device_.copies) {
      if (!copy.to_device || !within_work(copy) || copy.bytes < kSmallBytes) continue;
      double alone = exposed(copy.span);
      // What pinning wins is told by itself.
      if (copy.pageable && rate) {
        alone = std::min(alone, static_cast<double>(copy.bytes) / rate->bytes_per_ns);
      }
      if (alone > 0) line_of(lines, copy.stack).add(copy, alone);
    }
    say(
        Pattern::kSerialCopies, lines, kSeveral,
        [](const Line& line) {
          return fmt::format("no kernel ran for {} of their {}",
                             format_ns(static_cast<int64_t>(line.lost_ns)),
                             format_ns(static_cast<int64_t>(line.time_ns)));
        },
        "copy the next input on a stream of its own while the kernels work on this one");
  }

  // Idle until a copy from the host came: nothing else was there to be done.
  void find_waits() {
    std::vector<std::pair<Span, const Copy*>> events;
    for (const Copy& copy : device_.copies) events.emplace_back(copy.span, &copy);
    for (const Span& span : device_.kernels) events.emplace_back(span, nullptr);
    for (const Span& span : device_.others) events.emplace_back(span, nullptr);
    std::sort(events.begin(), events.end(),
              [](const auto& a, const auto& b) { return a.first.begin_ns < b.first.begin_ns; });
    Lines lines;
    int64_t busy_until = work_.begin_ns;
    for (const auto& [span, copy] : events) {
      const bool input = copy != nullptr && copy->to_device && copy->bytes >= kInputBytes;
      if (input && within_work(*copy) && span.begin_ns > busy_until) {
        line_of(lines, copy->stack)
            .add(*copy, static_cast<double>(between(busy_until, span.begin_ns)));
      }
      busy_until = std::max(busy_until, span.end_ns);
    }
    say(
        Pattern::kInputWait, lines, kSeveral,
        [&](const Line& line) {
          return fmt::format("the device did nothing for {} of {} until these copies came",
                             format_ns(static_cast<int64_t>(line.lost_ns)),
                             format_ns(work_.length()));
        },
        "prepare the next input while the device works on this one (prefetching; more workers of "
        "the DataLoader)");
  }

  template <class Evidence>
  void say(Pattern pattern, const Lines& lines, size_t at_least, const Evidence& evidence,
           const char* mend) {
    for (const auto& [where, line] : lines) {
      if (line.count < at_least) continue;
      if (line.lost_ns * kLeastShare < static_cast<double>(work_.length())) continue;
      Finding finding;
      finding.pattern = pattern;
      finding.series = {trace::Layer::kDriver, trace::Space::kDevice, number_};
      finding.bytes = line.bytes;
      finding.count = line.count;
      finding.seconds = line.lost_ns / kNsPerSecond;
      set_place(finding, line.line);
      finding.example = line.worst;
      finding.evidence = evidence(line);
      finding.mend = mend;
      findings_.push_back(std::move(finding));
    }
  }

  const Search& search_;
  int16_t number_;
  const Device& device_;
  Span work_;
  std::vector<Finding>& findings_;
  std::map<trace::StackId, CodeLine> known_;
};

}  // namespace

Result<void> find_slow_copies(const Search& search, std::vector<Finding>& findings) {
  const auto devices = devices_of(search.reader);
  if (!devices) return tl::unexpected(devices.error());
  for (const auto& [number, device] : *devices) Finder(search, number, device, findings).find();
  return {};
}

}  // namespace tidemark::analyzer
