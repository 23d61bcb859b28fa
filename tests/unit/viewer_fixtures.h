// A trace made up in memory, for the viewer's tests and benchmark: a Reader over plain vectors, and
// a training run whose every number is known.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tidemark/analyzer/usage.h"
#include "tidemark/trace/reader.h"

namespace tidemark::viewer::testing {

inline constexpr analyzer::Series kPool{trace::Layer::kPool, trace::Space::kDevice, 0};

struct MemoryTrace {
  std::string path = "gpt2.db";
  std::vector<trace::Process> processes;
  std::vector<trace::Thread> threads;
  std::vector<trace::Loss> losses;
  std::vector<std::string> texts = {""};                 // by StringId
  std::vector<std::vector<trace::Frame>> stacks = {{}};  // by StackId
  std::vector<trace::Allocation> allocations;
  std::vector<trace::PoolReserved> reserved;
  std::vector<trace::DevicePower> power;
  std::vector<trace::Kernel> kernels;
  std::vector<trace::Transfer> transfers;
  std::vector<trace::Access> accesses;
  std::vector<trace::Marker> markers;
  std::vector<trace::OutOfMemory> out_of_memory;
  std::vector<std::pair<std::string, std::string>> meta;
  int64_t end_ns = 0;
  bool finished = true;

  trace::StringId intern(const std::string& text);
  trace::StackId stack(std::vector<trace::Frame> innermost_first);
  // Returns its index, for free().
  size_t allocate(trace::Layer layer, trace::Space space, uint64_t size, int64_t time_ns,
                  trace::StackId stack, const std::string& api);
  void free(size_t index, int64_t time_ns) { allocations[index].free_ns = time_ns; }
};

class MemoryReader final : public trace::Reader {
 public:
  explicit MemoryReader(std::shared_ptr<const MemoryTrace> trace) : trace_(std::move(trace)) {}

  const std::string& path() const override { return trace_->path; }
  std::string meta(std::string_view key) const override {
    for (const auto& [name, value] : trace_->meta) {
      if (name == key) return value;
    }
    return {};
  }
  const std::vector<std::pair<std::string, std::string>>& all_meta() const override {
    return trace_->meta;
  }
  const std::vector<trace::Process>& processes() const override { return trace_->processes; }
  const std::vector<trace::Thread>& threads() const override { return trace_->threads; }
  const std::vector<trace::Loss>& losses() const override { return trace_->losses; }
  bool finished() const override { return trace_->finished; }
  int64_t end_ns() const override { return trace_->end_ns; }
  const std::string& text(trace::StringId id) const override;
  std::span<const trace::Frame> frames(trace::StackId id) const override;
  Result<void> allocations(const trace::AllocationFilter& filter,
                           const Visit<trace::Allocation>& visit) const override;
  Result<void> transfers(const Visit<trace::Transfer>& visit) const override {
    visit(trace_->transfers);
    return {};
  }
  Result<void> memsets(const Visit<trace::Memset>&) const override { return {}; }
  Result<void> kernels(const Visit<trace::Kernel>& visit) const override {
    visit(trace_->kernels);
    return {};
  }
  Result<void> accesses(const trace::AccessFilter& filter,
                        const Visit<trace::Access>& visit) const override;
  Result<void> markers(const Visit<trace::Marker>& visit) const override {
    visit(trace_->markers);
    return {};
  }
  Result<std::vector<trace::PoolReserved>> pool_reserved() const override {
    return trace_->reserved;
  }
  Result<std::vector<trace::OutOfMemory>> out_of_memory() const override {
    return trace_->out_of_memory;
  }
  Result<std::vector<trace::ProcessMemory>> process_memory() const override {
    return std::vector<trace::ProcessMemory>{};
  }
  Result<std::vector<trace::HostTotal>> host_totals() const override {
    return std::vector<trace::HostTotal>{};
  }
  Result<std::vector<trace::HostCurvePoint>> host_curve() const override {
    return std::vector<trace::HostCurvePoint>{};
  }
  Result<std::vector<trace::RecordingWindow>> windows() const override {
    return std::vector<trace::RecordingWindow>{};
  }
  Result<std::vector<trace::DeviceMemory>> device_memory() const override {
    return std::vector<trace::DeviceMemory>{};
  }
  Result<std::vector<trace::DevicePower>> device_power() const override { return trace_->power; }
  Result<std::vector<trace::DriverPool>> driver_pools() const override {
    return std::vector<trace::DriverPool>{};
  }
  Result<void> migrations(const Visit<trace::Migration>&) const override { return {}; }
  Result<std::vector<trace::ImportedMemory>> imports() const override {
    return std::vector<trace::ImportedMemory>{};
  }
  Result<std::vector<trace::Mapping>> mappings() const override {
    return std::vector<trace::Mapping>{};
  }
  Result<void> query(const std::string&, const std::function<void(std::span<const std::string>)>&,
                     const std::function<bool(std::span<const trace::Cell>)>&) const override {
    return fail("a trace in memory answers no SQL");
  }

 private:
  std::shared_ptr<const MemoryTrace> trace_;
};

inline constexpr trace::ProcessId kTrainer{1};

// GPT-2 small in single precision, ten steps with Adam: weights, then a sawtooth of activations.
MemoryTrace training_trace();

// A device whose every block, kernel and copy can be told: in pool device:0 `weights` of 64 MiB
// from 10 ms to the end and `scratch` of 256 MiB from 20 ms to 60 ms, right above it; on stream 7 a
// copy into weights at 12 ms, the kernel `gemm` on both at 30 ms and `relu` on scratch at 40 ms, 5
// ms each; a range "step" around them with "forward" in it; memory ran out at 70 ms.
MemoryTrace device_trace();

// Two ranks on one device: each has the kernel of its number, handed a block of 64 and of 32 MiB.
MemoryTrace two_ranks_trace();

// The same rows as a file.
[[nodiscard]] Result<void> write_trace(const MemoryTrace& from, const std::string& path);

}  // namespace tidemark::viewer::testing
