// How many events a second one core drains, merges and pairs. The producer's work is done before
// the clock runs. Null: a Writer that stores nothing, so what remains is the collector; File: the
// real one.
#include <benchmark/benchmark.h>

#include <filesystem>
#include <random>

#include "../unit/collector_fakes.h"
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
  trace::StackId add_stack(trace::ProcessId, std::span<const uint64_t>) override {
    return trace::StackId{++stacks_};
  }
  trace::FrameId add_frame(const trace::Frame&) override { return trace::FrameId{1}; }
  trace::StackNodeId add_stack_node(trace::StackNodeId, trace::FrameId) override {
    return trace::StackNodeId{1};
  }
  void define_stack(trace::StackId, trace::StackNodeId) override {}
  void add_module(trace::ProcessId, std::string_view, std::string_view, uint64_t, uint64_t,
                  uint64_t, int64_t, int64_t) override {}
  trace::AllocationId add_allocation(const trace::Allocation&) override {
    return trace::AllocationId{++rows_};
  }
  void end_allocation(trace::AllocationId, trace::Layer, int64_t, trace::StackId) override {}
  void revive_allocation(trace::AllocationId, trace::Layer) override {}
  void add_transfer(const trace::Transfer&) override {}
  void add_memset(const trace::Memset&) override {}
  void add_kernel(const trace::Kernel&) override {}
  void add_marker(const trace::Marker&) override {}
  void add_pool_reserved(const trace::PoolReserved&) override {}
  void add_out_of_memory(const trace::OutOfMemory&) override {}
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

void drain(benchmark::State& state, trace::Writer& writer) {
  Arena arena = std::move(*Arena::create({}));
  Losses losses;
  Pairing pairing(writer, losses, monotonic_ns(), nullptr);
  Session session(arena, pairing, losses);
  Program program(reinterpret_cast<std::byte*>(&arena.header()),
                  static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  session.pass();
  program.define_stacks(session);
  uint64_t events = 0;
  for (auto _ : state) {
    state.PauseTiming();
    events += program.run();
    state.ResumeTiming();
    session.pass();
  }
  state.counters["events/s"] =
      benchmark::Counter(static_cast<double>(events), benchmark::Counter::kIsRate);
  for (const auto& loss : losses.all()) state.SkipWithError(loss.name.c_str());
}

void Null(benchmark::State& state) {
  NullWriter writer;
  drain(state, writer);
}
BENCHMARK(Null)
    ->ArgNames({"threads", "live"})
    ->Args({1, 1000})
    ->Args({1, 1'000'000})
    ->Args({8, 100'000});

void File(benchmark::State& state) {
  const auto path = std::filesystem::temp_directory_path() / "tidemark_collector_bench.db";
  auto writer = trace::Writer::create(path.string());
  if (!writer) {
    state.SkipWithError(writer.error().message.c_str());
    return;
  }
  drain(state, **writer);
  writer->reset();
  std::filesystem::remove(path);
}
BENCHMARK(File)->ArgNames({"threads", "live"})->Args({1, 1000})->Args({8, 100'000});

}  // namespace
}  // namespace tidemark::collector

BENCHMARK_MAIN();
