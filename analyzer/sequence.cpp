#include "sequence.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <map>
#include <span>

#include "lifetimes.h"
#include "size_classes.h"

namespace tidemark::analyzer {
namespace {

trace::ProcessId busiest(const std::map<trace::ProcessId, uint64_t>& counts) {
  trace::ProcessId process{};
  uint64_t most = 0;
  for (const auto& [id, count] : counts) {
    if (count <= most) continue;
    most = count;
    process = id;
  }
  return process;
}

// Code on the device comes when a kernel is first needed: no part of what repeats.
bool part_of_sequence(const trace::Reader& reader, const trace::Allocation& row,
                      uint64_t smallest) {
  return row.size >= smallest &&
         (row.layer != trace::Layer::kDriver ||
          (row.space == trace::Space::kDevice && reader.text(row.api) != "cuda module"));
}

// A host makes millions of small blocks: so many of the largest are looked at.
constexpr uint64_t kMostSteps = uint64_t{1} << 22;

// For each smallest size the process whose blocks are counted most; of one alone nothing needs to
// be counted.
Result<std::vector<trace::ProcessId>> processes_of_sequence(const trace::Reader& reader,
                                                            trace::Layer layer,
                                                            std::span<const uint64_t> smallest) {
  if (reader.processes().size() == 1) {
    return std::vector(smallest.size(), reader.processes().front().id);
  }
  std::vector<std::map<trace::ProcessId, uint64_t>> counts(smallest.size());
  trace::AllocationFilter filter;
  filter.layer = layer;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      for (size_t i = 0; i < smallest.size(); ++i) {
        if (part_of_sequence(reader, row, smallest[i])) ++counts[i][row.process];
      }
    }
  });
  if (!read) return tl::unexpected(read.error());
  std::vector<trace::ProcessId> processes;
  for (const auto& of_one : counts) processes.push_back(busiest(of_one));
  return processes;
}

Result<Sequence> allocations_of(const trace::Reader& reader, trace::Layer layer, Basis basis,
                                trace::ProcessId process, uint64_t smallest) {
  Sequence sequence;
  sequence.basis = basis;
  const Lifetimes lifetimes(reader);
  trace::AllocationFilter filter;
  filter.layer = layer;
  sequence.process = process;
  // The more there are, the larger the smallest that is kept: what was dropped before is dropped
  // in the end, too.
  SizeClasses sizes;
  constexpr size_t most_kept = kMostSteps + kMostSteps / 4;
  // Pages that are not used cost nothing; growing step by step would copy all of them again.
  sequence.steps.reserve(most_kept + (size_t{1} << 16));
  const auto drop_small = [&] {
    smallest = std::max(smallest, sizes.smallest_for(kMostSteps));
    std::erase_if(sequence.steps, [&](const Step& step) { return step.size < smallest; });
  };
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (row.process != sequence.process || !part_of_sequence(reader, row, smallest)) continue;
      sizes.add(row.size);
      sequence.steps.push_back({row.alloc_ns, lifetimes.end_ns(row), row.size, row.alloc_stack,
                                row.free_stack, row.thread});
    }
    if (sequence.steps.size() > most_kept) drop_small();
  });
  if (!read) return tl::unexpected(read.error());
  drop_small();
  const auto earlier = [](const Step& a, const Step& b) { return a.time_ns < b.time_ns; };
  if (!std::is_sorted(sequence.steps.begin(), sequence.steps.end(), earlier)) {
    std::stable_sort(sequence.steps.begin(), sequence.steps.end(), earlier);
  }
  return sequence;
}

Result<Sequence> kernels_of(const trace::Reader& reader) {
  Sequence sequence;
  sequence.basis = Basis::kKernels;
  std::map<trace::ProcessId, uint64_t> counts;
  auto read = reader.kernels([&](std::span<const trace::Kernel> batch) {
    for (const trace::Kernel& row : batch) ++counts[row.process];
  });
  if (!read) return tl::unexpected(read.error());
  sequence.process = busiest(counts);
  read = reader.kernels([&](std::span<const trace::Kernel> batch) {
    for (const trace::Kernel& row : batch) {
      if (row.process != sequence.process) continue;
      sequence.steps.push_back(
          {row.start_ns, row.end_ns, static_cast<uint64_t>(row.name), row.stack, {}, {}});
    }
  });
  if (!read) return tl::unexpected(read.error());
  std::stable_sort(sequence.steps.begin(), sequence.steps.end(),
                   [](const Step& a, const Step& b) { return a.time_ns < b.time_ns; });
  return sequence;
}

}  // namespace

Result<Sequence> device_sequence(const trace::Reader& reader, trace::Layer layer, Basis basis) {
  if (basis == Basis::kKernels) return kernels_of(reader);
  constexpr uint64_t any[] = {1};
  const auto processes = processes_of_sequence(reader, layer, any);
  if (!processes) return tl::unexpected(processes.error());
  return allocations_of(reader, layer, basis, processes->front(), any[0]);
}

// Both come from one pass: what of the largest is kept and is no small change is what would be kept
// of that alone, since sizes are dropped by classes, from the smallest on.
Result<std::vector<Sequence>> host_sequences(const trace::Reader& reader) {
  constexpr uint64_t no_small_change = 4096;
  static_assert(std::has_single_bit(no_small_change), "a class of sizes begins there");
  constexpr uint64_t smallest[] = {no_small_change, 1};
  const auto processes = processes_of_sequence(reader, trace::Layer::kHeap, smallest);
  if (!processes) return tl::unexpected(processes.error());
  const auto read = [&](size_t i) {
    return allocations_of(reader, trace::Layer::kHeap, Basis::kHeap, (*processes)[i], smallest[i]);
  };
  std::vector<Sequence> sequences;
  auto all = read(1);
  if (!all) return tl::unexpected(all.error());
  if (processes->front() != processes->back()) {
    auto large = read(0);
    if (!large) return tl::unexpected(large.error());
    sequences.push_back(std::move(*large));
  } else {
    const auto is_large = [](const Step& step) { return step.size >= no_small_change; };
    const auto count = std::count_if(all->steps.begin(), all->steps.end(), is_large);
    if (static_cast<size_t>(count) < all->steps.size()) {
      Sequence large{all->basis, all->process, {}, {}};
      large.steps.reserve(static_cast<size_t>(count));
      std::copy_if(all->steps.begin(), all->steps.end(), std::back_inserter(large.steps), is_large);
      sequences.push_back(std::move(large));
    }
  }
  sequences.push_back(std::move(*all));
  return sequences;
}

}  // namespace tidemark::analyzer
