// What access tracking adds to a launch inside the target: a kernel with 12 parameters of 74 words,
// among them 9 pointers into some of 2,000 live ranges, as a launch of PyTorch is on average.
//
//   launch_bench [LAUNCHES]       default 2,000,000
//
// Beside it the obvious way: the ranges in a std::map behind a mutex, each word looked up, the
// layout asked for at each launch. Nanoseconds of this process's CPU a launch, best of seven.
#include <dlfcn.h>
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

#include "access.h"
#include "fake_kernel.h"
#include "tidemark/wire/ring_producer.h"

namespace {

using namespace tidemark;

double cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}

// A ring whose reader takes everything at once.
struct Ring {
  wire::RingHeader header{};
  std::unique_ptr<uint8_t[]> data = std::make_unique<uint8_t[]>(wire::kRingDataBytes);
  wire::RingProducer producer;
  uint64_t bytes = 0;
};
Ring& ring() {
  static auto* the_ring = [] {
    auto* made = new Ring;
    made->producer.attach(&made->header, made->data.get());
    return made;
  }();
  return *the_ring;
}

bool drain(wire::RingHeader* header, uint32_t, uint32_t) {
  header->tail.store(header->head.load());
  return true;
}

void publish(const void* record) {
  wire::Header header;
  std::memcpy(&header, record, sizeof header);
  uint8_t* at = ring().producer.reserve(header.bytes, drain);
  std::memcpy(at + sizeof(wire::RecordType), static_cast<const uint8_t*>(record) + 2,
              header.bytes - sizeof(wire::RecordType));
  ring().producer.commit(at, header.type);
  ring().bytes += header.bytes;
}

const wire::Client kClient = {
    wire::kClientVersion,
    0,
    [] { return true; },
    []() -> const wire::ArenaHeader* { return nullptr; },
    []() -> uint64_t { return 1; },
    [] {
      timespec now{};
      clock_gettime(CLOCK_MONOTONIC, &now);
      return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
    },
    [](uint32_t) -> wire::StackId { return 0; },
    [](const char*) -> wire::NameId { return 0; },
    publish,
    [](wire::Loss, uint64_t) {},
    [](const char*, const char*) {},
    [] {},
    [] {},
    [](const void*) {},
};

// What is handed to kernels: a few blocks of the 2,000, among sizes, strides and numbers.
struct Launches {
  static constexpr size_t kParameterWords[] = {1, 1, 1, 24, 16, 8, 1, 1, 1, 18, 1, 1};
  static constexpr size_t kKernels = 64;

  explicit Launches(std::mt19937_64& random) {
    for (size_t i = 0; i < 2000; ++i) {
      const uint64_t address = 0x7f2000000000 + (i << 21) + (random() % 4096) * 512;
      ranges.emplace(address, address + (1 << 16));
    }
    for (size_t k = 0; k < kKernels; ++k) {
      Kernel& kernel = kernels.emplace_back();
      for (const size_t words : kParameterWords) {
        kernel.fake.parameter_bytes.push_back(words * 8);
        for (size_t i = 0; i < words; ++i) kernel.words.push_back(number(random));
      }
      for (size_t hit = 0; hit < 9; ++hit) {
        const auto range = std::next(ranges.begin(), static_cast<ptrdiff_t>(random() % 2000));
        kernel.words[random() % kernel.words.size()] = range->first + random() % 4096;
      }
      kernel.fake.of_library = true;
    }
    for (Kernel& kernel : kernels) {
      size_t at = 0;
      for (const size_t words : kParameterWords) {
        kernel.parameters.push_back(&kernel.words[at]);
        at += words;
      }
      kernel.launch.f = reinterpret_cast<CUfunction>(&kernel.fake);
      kernel.launch.kernelParams = kernel.parameters.data();
    }
  }
  static uint64_t number(std::mt19937_64& random) {
    switch (random() % 4) {
      case 0:
        return random() % 100000;
      case 1:
        return 0;
      case 2:
        return 0x3f80000000000000 | random() % 1000;
      default:
        return (random() % 5000) << 32 | random() % 5000;
    }
  }

  struct Kernel {
    FakeKernel fake;
    std::vector<uint64_t> words;
    std::vector<void*> parameters;
    cuLaunchKernel_params launch{};
  };
  std::map<uint64_t, uint64_t> ranges;  // start to end
  std::vector<Kernel> kernels;
};

uint64_t naive(Launches& launches, std::mutex& mutex, Launches::Kernel& kernel) {
  uint64_t hits = 0;
  const std::lock_guard lock(mutex);
  for (size_t i = 0; i < kernel.parameters.size(); ++i) {
    const auto* at = static_cast<const uint8_t*>(kernel.parameters[i]);
    for (size_t byte = 0; byte + 8 <= kernel.fake.parameter_bytes[i]; byte += 8) {
      uint64_t word = 0;
      std::memcpy(&word, at + byte, sizeof word);
      const auto after = launches.ranges.upper_bound(word);
      if (after != launches.ranges.begin() && word < std::prev(after)->second) ++hits;
    }
  }
  return hits;
}

template <class Body>
double best_ns(size_t launches, Body&& body) {
  double best = 1e18;
  for (int round = 0; round < 7; ++round) {
    const double start = cpu_ns();
    for (size_t i = 0; i < launches; ++i) body(i);
    best = std::min(best, (cpu_ns() - start) / static_cast<double>(launches));
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const size_t count = (argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 2'000'000) / 7 + 1;
  if (dlopen(FAKE_LIBCUDA, RTLD_NOW) == nullptr) {
    fmt::print(stderr, "{}\n", dlerror());
    return 1;
  }
  std::mt19937_64 random(1);
  Launches launches(random);
  auto access = std::make_unique<cuda::AccessRecorder>(kClient);
  cuda::Message why;
  if (!access->start(why)) {
    fmt::print(stderr, "{}\n", why.c_str());
    return 1;
  }
  for (const auto& [start, end] : launches.ranges) access->memory(start, end - start);
  std::mutex mutex;
  uint64_t hits = 0;
  for (auto& kernel : launches.kernels) hits += naive(launches, mutex, kernel);
  const auto kernel_of = [&](size_t i) -> Launches::Kernel& {
    return launches.kernels[i % Launches::kKernels];
  };
  const double tracked = best_ns(count, [&](size_t i) {
    access->launch(CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel, &kernel_of(i).launch,
                   static_cast<uint32_t>(i));
  });
  const double bytes = static_cast<double>(ring().bytes) / static_cast<double>(7 * count);
  const double obvious =
      best_ns(count, [&](size_t i) { hits += naive(launches, mutex, kernel_of(i)); });
  fmt::print("launch with 74 words, {:.1f} hits of 2,000 ranges (checksum {})\n",
             static_cast<double>(hits) / static_cast<double>(7 * count + Launches::kKernels), hits);
  fmt::print("  tracked      {:7.0f} ns, {:.0f} bytes on the wire\n", tracked, bytes);
  fmt::print("  obvious way  {:7.0f} ns, without writing anything   ({:.1f} times)\n", obvious,
             obvious / tracked);
  return 0;
}
