// What a trace costs: events per second and bytes per event for host allocations, rows per second
// for device rows, rows per second for a full read, and the size of a trace with the shape of a
// small GPU recording.
//
//   trace_bench [EVENTS] [EVENT_LOG]
//
// The events are those of this very process: a small program (strings, maps, vectors, buffers)
// runs with operator new and delete counted, so that addresses, sizes and lifetimes are what a real
// allocator gives. EVENT_LOG replaces them by lines "a ADDRESS SIZE TIME_NS STACK THREAD" and
// "f ADDRESS 0 TIME_NS STACK THREAD" (hexadecimal address) captured elsewhere.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <new>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "tidemark/trace/reader.h"
#include "tidemark/trace/writer.h"

namespace {

using tidemark::trace::Allocation;
using tidemark::trace::AllocationId;
using tidemark::trace::Layer;
using tidemark::trace::Reader;
using tidemark::trace::Space;
using tidemark::trace::StackId;
using tidemark::trace::Writer;
using Clock = std::chrono::steady_clock;

struct Event {
  uint64_t address;
  uint64_t size;  // 0: a free
  int64_t time_ns;
  uint32_t stack;
  uint32_t thread;
};

// Where events go while the sample program runs; nullptr: not recording.
struct Capture {
  Event* events;
  size_t count, capacity;
  uint32_t stack;
} g_capture{};
bool g_recording = false;

void capture(void* address, size_t size) {
  if (!g_recording || address == nullptr || g_capture.count == g_capture.capacity) return;
  g_capture.events[g_capture.count++] = {
      reinterpret_cast<uint64_t>(address), size, Clock::now().time_since_epoch().count(),
      // One stack per place and size class, about as many as a program has hot places.
      g_capture.stack * 16 + (size != 0 ? static_cast<uint32_t>(size % 13) : 13), 1};
}

}  // namespace

// Not inlined: else GCC 12 sees malloc and delete, or new and free, and takes them for mismatched.
[[gnu::noinline]] void* operator new(size_t size) {
  void* address = std::malloc(size);
  if (address == nullptr) throw std::bad_alloc();
  capture(address, size == 0 ? 1 : size);
  return address;
}
[[gnu::noinline]] void operator delete(void* address) noexcept {
  capture(address, 0);
  std::free(address);
}
[[gnu::noinline]] void operator delete(void* address, size_t) noexcept { operator delete(address); }

namespace {

void sample_program(size_t events) {
  std::mt19937_64 random(1);
  std::map<std::string, std::vector<double>> table;
  std::vector<std::string> lines;
  while (g_capture.count + 1000 < events) {
    g_capture.stack = 1;
    std::string key = fmt::format("layer.{}.weight.of.the.model", random() % 3000);
    g_capture.stack = 2;
    auto& values = table[key];
    g_capture.stack = 3;
    for (size_t i = random() % 40; i > 0; --i) values.push_back(static_cast<double>(i));
    g_capture.stack = 4;
    const std::vector<char> buffer(64 + random() % 20000);
    g_capture.stack = 5;
    lines.push_back(key + static_cast<char>('0' + buffer.size() % 10));
    if (random() % 8 == 0) {
      g_capture.stack = 6;
      table.erase(table.lower_bound(key));
    }
    if (lines.size() > 20000) {
      g_capture.stack = 7;
      lines.erase(lines.begin(), lines.begin() + 10000);
    }
  }
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

template <class T>
T must(tidemark::Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::vector<Event> captured_events(size_t count) {
  std::vector<Event> events(count);
  g_capture = {events.data(), 0, count, 0};
  g_recording = true;
  sample_program(count);
  g_recording = false;
  events.resize(g_capture.count);
  return events;
}

std::vector<Event> logged_events(const char* path) {
  std::vector<Event> events;
  FILE* in = std::fopen(path, "r");
  if (in == nullptr) {
    std::perror(path);
    std::exit(1);
  }
  char kind = 0;
  Event event{};
  while (std::fscanf(in, " %c %" SCNx64 " %" SCNu64 " %" SCNd64 " %" SCNu32 " %" SCNu32, &kind,
                     &event.address, &event.size, &event.time_ns, &event.stack,
                     &event.thread) == 6) {
    if (kind == 'f') event.size = 0;
    if (kind == 'a' && event.size == 0) event.size = 1;
    events.push_back(event);
  }
  std::fclose(in);
  return events;
}

uint64_t file_bytes(const std::string& path) { return std::filesystem::file_size(path); }

void host(const std::string& folder, const std::vector<Event>& events) {
  const std::string path = folder + "/host.db";
  auto writer = must(Writer::create(path));
  const auto api = writer->intern("malloc");
  std::unordered_map<uint64_t, AllocationId> live;
  live.reserve(events.size());
  size_t written = 0;
  size_t allocations = 0;
  const auto begin = Clock::now();
  int64_t next_flush = 0;
  for (const Event& event : events) {
    if (event.size != 0) {
      Allocation row;
      row.process = tidemark::trace::ProcessId{1};
      row.thread = static_cast<tidemark::trace::ThreadId>(event.thread);
      row.layer = Layer::kHeap;
      row.address = event.address;
      row.size = event.size;
      row.alloc_ns = event.time_ns - events.front().time_ns;
      row.alloc_stack = static_cast<StackId>(event.stack);
      row.api = api;
      live[event.address] = writer->add_allocation(row);
      ++allocations;
    } else if (const auto found = live.find(event.address); found != live.end()) {
      writer->end_allocation(found->second, Layer::kHeap, event.time_ns - events.front().time_ns,
                             static_cast<StackId>(event.stack));
      live.erase(found);
    } else {
      continue;  // allocated before the capture began
    }
    ++written;
    if (event.time_ns > next_flush) {
      must(writer->flush());
      next_flush = event.time_ns + 1'000'000'000;
    }
  }
  must(writer->flush());
  const double write = seconds_since(begin);
  const uint64_t recording_bytes =
      file_bytes(path) + (std::filesystem::exists(path + "-wal") ? file_bytes(path + "-wal") : 0);
  const auto finish_begin = Clock::now();
  must(writer->finish());
  const double finish = seconds_since(finish_begin);

  const auto read_begin = Clock::now();
  auto reader = must(Reader::open(path));
  size_t rows = 0;
  uint64_t sum = 0;
  must(reader->allocations({}, [&](std::span<const Allocation> batch) {
    rows += batch.size();
    for (const Allocation& row : batch) sum += row.size;
  }));
  const double read = seconds_since(read_begin);
  if (rows != allocations) {
    std::fprintf(stderr, "wrote %zu allocations, read %zu\n", allocations, rows);
    std::exit(1);
  }
  const auto count = static_cast<double>(written);
  fmt::print("host write       {:>10.2f} M events/s ({} events, {} allocations)\n",
             count / write / 1e6, written, allocations);
  fmt::print("host finish      {:>10.2f} s\n", finish);
  fmt::print("host size        {:>10.2f} bytes/event ({:.2f} before finish, journal included)\n",
             static_cast<double>(file_bytes(path)) / count,
             static_cast<double>(recording_bytes) / count);
  fmt::print("host full scan   {:>10.2f} M rows/s (sum of sizes {})\n",
             static_cast<double>(rows) / read / 1e6, sum);
}

void device_rows(const std::string& folder) {
  const std::string path = folder + "/device.db";
  auto writer = must(Writer::create(path));
  constexpr size_t kRows = 1'000'000;
  const auto begin = Clock::now();
  for (size_t i = 0; i < kRows; ++i) {
    tidemark::trace::Kernel row;
    row.process = tidemark::trace::ProcessId{1};
    row.device = 0;
    row.name = static_cast<tidemark::trace::StringId>(1 + i % 60);
    row.start_ns = static_cast<int64_t>(i) * 5000;
    row.end_ns = row.start_ns + 3000;
    row.correlation = static_cast<uint32_t>(i);
    writer->add_kernel(row);
  }
  must(writer->flush());
  fmt::print("device write     {:>10.2f} M rows/s\n", kRows / seconds_since(begin) / 1e6);
  must(writer->finish());
  const auto read_begin = Clock::now();
  size_t rows = 0;
  must(must(Reader::open(path))->kernels([&](auto batch) { rows += batch.size(); }));
  fmt::print("device full scan {:>10.2f} M rows/s, {:.1f} bytes/row\n",
             static_cast<double>(rows) / seconds_since(read_begin) / 1e6,
             static_cast<double>(file_bytes(path)) / kRows);
}

// 25,000 pool allocations, 18,000 kernels, 2,000 transfers, 3,000 stacks of 60 frames that share
// most of their callers.
void gpu_sample(const std::string& folder) {
  const std::string path = folder + "/gpu.db";
  std::mt19937_64 random(2);
  auto writer = must(Writer::create(path));
  constexpr int kStacks = 3000;
  const tidemark::trace::ProcessId process{1};
  std::map<uint64_t, tidemark::trace::AddressId> addresses;  // by function
  std::map<std::pair<tidemark::trace::StackNodeId, uint64_t>, tidemark::trace::StackNodeId> nodes;
  for (int i = 0; i < kStacks; ++i) {
    // The 45 outermost are one of ten ways into the program; the 15 innermost vary.
    const uint64_t way = random() % 10;
    tidemark::trace::StackNodeId node{};
    for (size_t depth = 60; depth-- > 0;) {
      const uint64_t which = depth < 15 ? random() % 4 + depth * 10 : 1000 + way * 50 + depth;
      auto& address = addresses[which];
      if (address == tidemark::trace::AddressId{}) {
        address = writer->add_address(process, 0x7f0000000000 + random() % (1 << 28), 0);
      }
      auto& next = nodes[{node, which}];
      if (next == tidemark::trace::StackNodeId{}) next = writer->add_stack_node(node, address);
      node = next;
    }
    writer->add_stack(process, node);
  }
  const auto api = writer->intern("c10");
  std::vector<std::pair<size_t, AllocationId>> live;
  int64_t now = 0;
  for (size_t i = 0; i < 25000; ++i) {
    Allocation row;
    row.process = tidemark::trace::ProcessId{1};
    row.thread = static_cast<tidemark::trace::ThreadId>(1 + random() % 2);
    row.layer = Layer::kPool;
    row.space = Space::kDevice;
    row.device = 0;
    row.address = 0x7f1200000000 + random() % (1 << 24) * 512;
    row.size = (1 + random() % 4000) * 512;
    row.alloc_ns = now += static_cast<int64_t>(random() % 400000);
    row.alloc_stack = static_cast<StackId>(1 + random() % kStacks);
    row.api = api;
    live.emplace_back(i + random() % 900, writer->add_allocation(row));
    if (live.size() > 300) {
      const size_t at = random() % live.size();
      writer->end_allocation(live[at].second, Layer::kPool, now,
                             static_cast<StackId>(1 + random() % kStacks));
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
    }
    if (i % 200 == 0) must(writer->flush());
  }
  for (size_t i = 0; i < 18000; ++i) {
    const auto start = static_cast<int64_t>(i) * 270000;
    tidemark::trace::Kernel row{
        0,
        tidemark::trace::ProcessId{1},
        0,
        7,
        writer->intern(fmt::format("void at::native::vectorized_elementwise_kernel<4, "
                                   "at::native::CUDAFunctor_add<float>, at::detail::Array<char*, "
                                   "{}> >(int, float, at::detail::Array<char*, 3>)",
                                   random() % 60)),
        start,
        start + static_cast<int64_t>(random() % 200000),
        static_cast<uint32_t>(i * 7),
        0,
        static_cast<StackId>(1 + random() % kStacks)};
    writer->add_kernel(row);
    if (i % 9 == 0) {
      writer->add_transfer({0,
                            tidemark::trace::ProcessId{1},
                            0,
                            7,
                            {},
                            random() % (1 << 24),
                            {},
                            Space::kDevice,
                            0x7f0000000000 + random() % (1 << 28),
                            0x7f1200000000,
                            start,
                            start + 3000,
                            static_cast<uint32_t>(i * 7),
                            StackId{1}});
    }
  }
  for (const auto& [which, address] : addresses) {
    const auto frame = writer->add_frame(
        {which % 3 == 0 ? tidemark::trace::FrameKind::kPython : tidemark::trace::FrameKind::kNative,
         fmt::format("torch::autograd::some_namespace::Function{}::apply", which),
         fmt::format("/usr/lib/python3/dist-packages/torch/nn/modules/m{}.py", which % 200),
         static_cast<int32_t>(which % 700), "/usr/lib/libtorch_cpu.so", false});
    writer->name_address(address, {&frame, 1}, false);
  }
  const auto begin = Clock::now();
  must(writer->finish());
  fmt::print(
      "GPU sample       {:>10.2f} MB (25,000 pool allocations, 18,000 kernels), finish {:.2f} s\n",
      static_cast<double>(file_bytes(path)) / 1e6, seconds_since(begin));
}

}  // namespace

int main(int argc, char** argv) {
  const size_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000'000;
  std::string folder = (std::filesystem::temp_directory_path() / "tidemark-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return 1;
  host(folder, argc > 2 ? logged_events(argv[2]) : captured_events(count));
  device_rows(folder);
  gpu_sample(folder);
  if (std::getenv("TIDEMARK_BENCH_KEEP") != nullptr) {
    fmt::print("kept {}\n", folder);
  } else {
    std::filesystem::remove_all(folder);
  }
  return 0;
}
