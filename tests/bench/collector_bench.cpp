// How many events a second of one core's time are drained, merged, paired and written. The
// producer's work is done before the clock runs, which counts CPU time only.
//   Null     a Writer that stores nothing, so what remains is the collector
//   File     the real one, from the ring to the file
//   live     blocks of a program that frees a random one and allocates another: the worst there is
//   mix      the shape of real programs (event_mix.h), for so many stacks
#include <benchmark/benchmark.h>

#include <filesystem>
#include <random>

#include "../unit/collector_fakes.h"
#include "event_mix.h"
#include "session.h"

namespace tidemark::collector {
namespace {

class NullWriter final : public trace::Writer {
 public:
  trace::StringId intern(std::string_view) override { return trace::StringId{1}; }
  void meta(std::string_view, std::string_view) override {}
  void loss(std::string_view, trace::Severity, uint64_t) override {}
  trace::ProcessId add_process(const trace::Process&) override { return trace::ProcessId{1}; }
  void end_process(trace::ProcessId, int64_t, int32_t) override {}
  trace::ThreadId add_thread(trace::ProcessId, int32_t, std::string_view) override {
    return trace::ThreadId{1};
  }
  void rename_thread(trace::ThreadId, std::string_view) override {}
  trace::AddressId add_address(trace::ProcessId, uint64_t, int64_t) override {
    return trace::AddressId{1};
  }
  trace::StackNodeId add_stack_node(trace::StackNodeId, trace::AddressId) override {
    return trace::StackNodeId{1};
  }
  trace::StackId add_stack(trace::ProcessId, trace::StackNodeId) override {
    return trace::StackId{++stacks_};
  }
  trace::FrameId add_frame(const trace::Frame&) override { return trace::FrameId{1}; }
  void name_address(trace::AddressId, std::span<const trace::FrameId>, bool) override {}
  void add_module(trace::ProcessId, std::string_view, std::string_view, uint64_t, uint64_t,
                  uint64_t, int64_t, int64_t) override {}
  void drop_modules(trace::ProcessId, uint64_t) override {}
  trace::AllocationId add_allocation(const trace::Allocation&) override {
    return trace::AllocationId{++rows_};
  }
  void end_allocation(trace::AllocationId, trace::Layer, int64_t, trace::StackId) override {}
  void revive_allocation(trace::AllocationId, trace::Layer) override {}
  void add_transfer(const trace::Transfer&) override {}
  void add_memset(const trace::Memset&) override {}
  int64_t add_kernel(const trace::Kernel&) override { return 1; }
  void add_accesses(int64_t, std::span<const trace::AllocationId>) override {}
  trace::MarkerId add_marker(const trace::Marker&) override { return {}; }
  void end_marker(trace::MarkerId, int64_t) override {}
  void add_pool_reserved(const trace::PoolReserved&) override {}
  void add_out_of_memory(const trace::OutOfMemory&) override {}
  trace::WindowId add_window(const trace::RecordingWindow&) override { return {}; }
  void end_window(trace::WindowId, int64_t) override {}
  void add_device_memory(const trace::DeviceMemory&) override {}
  void add_device_power(const trace::DevicePower&) override {}
  void add_driver_pool(const trace::DriverPool&) override {}
  void add_migration(const trace::Migration&) override {}
  trace::ImportId add_import(const trace::ImportedMemory&) override { return {}; }
  void end_import(trace::ImportId, int64_t) override {}
  void add_process_memory(const trace::ProcessMemory&) override {}
  void add_mappings(std::span<const trace::Mapping>) override {}
  void drop_mappings(trace::ProcessId, int64_t) override {}
  void replace_host_totals(std::span<const trace::HostTotal>,
                           std::span<const trace::HostCurvePoint>) override {}
  void limit(const trace::Limit&) override {}
  trace::Room room() override { return trace::Room::kEnough; }
  Result<void> commit() override { return {}; }
  Result<trace::Condensed> condense(int64_t) override { return trace::Condensed{}; }
  Result<void> flush() override { return {}; }
  Result<void> finish() override { return {}; }

 private:
  int64_t stacks_ = 0;
  int64_t rows_ = 0;
};

constexpr uint64_t kStacks = 10'000;

// A program with `live` blocks that frees a random one and allocates another, over and over.
class Program {
 public:
  Program(std::byte* arena, size_t threads, size_t live) : live_(live), random_(1) {
    for (size_t i = 0; i < threads; ++i) {
      rings_.emplace_back(arena, 1, 10, static_cast<int32_t>(10 + i));
    }
    rings_[0].publish(fakes::process_start(monotonic_ns(), 1, 10));
    next_address_ = 0x100000;
  }
  void define_stacks(Session& session) {
    for (uint64_t id = 1; id <= kStacks; ++id) {
      rings_[0].publish(fakes::stack_record(id, std::vector<uint64_t>(20, 0x1000 * id)));
      if (id % 1000 == 0) session.pass();
    }
  }
  // Fills the rings once, within what they hold; returns the number of events.
  uint64_t run() {
    const uint64_t per_ring = wire::kRingDataBytes / 2 / sizeof(wire::HeapAlloc);
    for (uint64_t i = 0; i < per_ring; ++i) {
      for (auto& ring : rings_) {
        const uint64_t stack = 1 + random_() % kStacks;
        if (blocks_.size() < live_ || i % 2 == 0) {
          next_address_ += 64;
          blocks_.push_back(next_address_);
          ring.publish(fakes::alloc(monotonic_ns(), next_address_, 48, stack));
        } else {
          std::swap(blocks_[random_() % blocks_.size()], blocks_.back());
          auto free = fakes::free_of(monotonic_ns(), blocks_.back());
          free.stack = stack;
          ring.publish(free);
          blocks_.pop_back();
        }
      }
    }
    return per_ring * rings_.size();
  }

 private:
  size_t live_;
  std::minstd_rand random_;
  std::vector<fakes::FakeProducer> rings_;
  std::vector<uint64_t> blocks_;
  uint64_t next_address_;
};

// Events of event_mix.h, each in its thread's ring.
class Mix {
 public:
  Mix(std::byte* arena, const bench::MixOptions& options) : options_(options), mix_(options) {
    for (uint32_t i = 0; i < options.threads; ++i) {
      rings_.emplace_back(arena, 1, 10, static_cast<int32_t>(10 + i));
    }
    rings_[0].publish(fakes::process_start(monotonic_ns(), 1, 10));
  }
  void define_stacks(Session& session) {
    for (uint64_t id = 1; id <= options_.stacks; ++id) {
      rings_[0].publish(fakes::stack_record(id, std::vector<uint64_t>(20, 0x1000 * id)));
      if (id % 1000 == 0) session.pass();
    }
  }
  uint64_t run() {
    // No ring can get more than it holds, should one thread do it all.
    constexpr uint64_t kEvents = wire::kRingDataBytes / 2 / sizeof(wire::HeapAlloc);
    for (uint64_t i = 0; i < kEvents; ++i) {
      const bench::MixEvent event = mix_.next();
      if (event.is_free) {
        auto record = fakes::free_of(monotonic_ns(), event.address);
        record.stack = event.stack;
        rings_[event.thread].publish(record);
      } else {
        rings_[event.thread].publish(
            fakes::alloc(monotonic_ns(), event.address, event.size, event.stack));
      }
    }
    return kEvents;
  }

 private:
  bench::MixOptions options_;
  bench::EventMix mix_;
  std::vector<fakes::FakeProducer> rings_;
};

constexpr uint64_t kEventsPerFlush = 2'000'000;

template <class Source, class... Arguments>
void drain(benchmark::State& state, trace::Writer& writer, const Arguments&... arguments) {
  Arena arena = std::move(*Arena::create({}));
  Losses losses;
  Pairing pairing(writer, losses, monotonic_ns(), nullptr);
  Session session(arena, pairing, losses);
  Source program(reinterpret_cast<std::byte*>(&arena.header()), arguments...);
  session.pass();
  program.define_stacks(session);
  uint64_t events = 0;
  uint64_t flushed = 0;
  for (auto _ : state) {
    state.PauseTiming();
    events += program.run();
    state.ResumeTiming();
    session.pass();
    if (events - flushed < kEventsPerFlush) continue;
    flushed = events;
    if (!writer.flush()) state.SkipWithError("the file cannot be written");
  }
  state.counters["events/s"] =
      benchmark::Counter(static_cast<double>(events), benchmark::Counter::kIsRate);
  for (const auto& loss : losses.all()) state.SkipWithError(loss.name.c_str());
}

void drain_live(benchmark::State& state, trace::Writer& writer) {
  drain<Program>(state, writer, static_cast<size_t>(state.range(0)),
                 static_cast<size_t>(state.range(1)));
}

void drain_mix(benchmark::State& state, trace::Writer& writer) {
  bench::MixOptions options;
  options.threads = static_cast<uint32_t>(state.range(0));
  options.stacks = static_cast<uint64_t>(state.range(1));
  drain<Mix>(state, writer, options);
}

template <void (*run)(benchmark::State&, trace::Writer&)>
void Null(benchmark::State& state) {
  NullWriter writer;
  run(state, writer);
}

template <void (*run)(benchmark::State&, trace::Writer&)>
void File(benchmark::State& state) {
  const auto path = std::filesystem::temp_directory_path() / "tidemark_collector_bench.db";
  auto writer = trace::Writer::create(path.string());
  if (!writer) {
    state.SkipWithError(writer.error().message.c_str());
    return;
  }
  run(state, **writer);
  writer->reset();
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path.string() + suffix);
}

void live_arguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"threads", "live"})
      ->Args({1, 1000})
      ->Args({1, 1'000'000})
      ->Args({8, 100'000});
}
void mix_arguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"threads", "stacks"})
      ->Args({1, 10'000})
      ->Args({4, 10'000})
      ->Args({4, 1'000'000});
}
BENCHMARK(Null<drain_live>)->Apply(live_arguments);
BENCHMARK(File<drain_live>)->Apply(live_arguments);
BENCHMARK(Null<drain_mix>)->Apply(mix_arguments);
BENCHMARK(File<drain_mix>)->Apply(mix_arguments);

}  // namespace
}  // namespace tidemark::collector

BENCHMARK_MAIN();
