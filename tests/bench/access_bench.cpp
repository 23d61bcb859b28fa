// What accesses take in a trace and what it costs to ask for them: a training loop of 800 kernels a
// step, each handed three blocks (a weight; one that is new; one of two kernels before), with
// random gaps in the ids, as if the host allocated in between.
//
//   access_bench [ACCESSES]       default 10,000,000
//
// Seconds of this process's CPU.
#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "bench_program.h"
#include "tidemark/analyzer/uses.h"
#include "tidemark/trace/reader.h"
#include "tidemark/trace/writer.h"

namespace {

using namespace tidemark;
using bench::cpu_seconds;
using bench::must;
using trace::AllocationId;

int64_t peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

struct Loop {
  static constexpr int64_t kWeights = 150;
  static constexpr int64_t kKernels = 800;  // a step
  std::mt19937_64 random{1};
  int64_t next_id = kWeights;
  int64_t kernel = 0;
  int64_t start_ns = 0;

  size_t step(trace::Writer& writer) {
    size_t accesses = 0;
    std::vector<AllocationId> blocks;
    std::vector<AllocationId> handed;
    for (int64_t i = 0; i < kKernels; ++i) {
      trace::Kernel row;
      row.start_ns = start_ns += 5000 + static_cast<int64_t>(random() % 20000);
      row.end_ns = row.start_ns + 4000;
      row.correlation = static_cast<uint32_t>(++kernel);
      next_id += 1 + static_cast<int64_t>(random() % 20);
      blocks.push_back(AllocationId{next_id});
      handed = {AllocationId{1 + i % kWeights}, blocks.back()};
      if (i > 3) handed.push_back(blocks[blocks.size() - 3]);
      writer.add_accesses(writer.add_kernel(row), handed);
      accesses += handed.size();
    }
    return accesses;
  }
};

void ask(const trace::Reader& reader, const char* what, const trace::AccessFilter& filter) {
  const double begin = cpu_seconds();
  uint64_t rows = 0;
  must(reader.accesses(filter, [&](auto batch) { rows += batch.size(); }));
  fmt::print("  {:<34} {:>11} rows {:8.3f} s\n", what, rows, cpu_seconds() - begin);
}

}  // namespace

int main(int argc, char** argv) {
  const size_t wanted = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000'000;
  const std::string path =
      std::filesystem::temp_directory_path() / fmt::format("access_bench.{}.db", getpid());
  Loop loop;
  size_t accesses = 0;
  {
    const auto writer = must(trace::Writer::create(path));
    const double begin = cpu_seconds();
    for (int64_t step = 1; accesses < wanted; ++step) {
      accesses += loop.step(*writer);
      if (step % 20 == 0) must(writer->flush());
    }
    must(writer->finish());
    fmt::print("{} accesses of {} kernels written, kernels too: {:.2f} s\n", accesses, loop.kernel,
               cpu_seconds() - begin);
  }
  const auto reader = must(trace::Reader::open(path));
  must(reader->query(
      "SELECT sum(length(data)) FROM access_chunk", [](auto) {},
      [&](std::span<const trace::Cell> row) {
        fmt::print("{:.3f} bytes an access; the trace {:.1f} MB\n",
                   std::stod(row[0].text) / static_cast<double>(accesses),
                   static_cast<double>(std::filesystem::file_size(path)) / 1e6);
        return true;
      }));
  ask(*reader, "all", {});
  trace::AccessFilter filter;
  filter.first_kernel = filter.last_kernel = loop.kernel / 2;
  ask(*reader, "one kernel's", filter);
  filter = {};
  filter.first_allocation = filter.last_allocation = AllocationId{7};
  ask(*reader, "a weight's", filter);
  filter.first_allocation = filter.last_allocation = AllocationId{loop.next_id - 5000};
  ask(*reader, "those of ids near the end",
      {filter.first_kernel, filter.last_kernel, AllocationId{loop.next_id - 5000},
       AllocationId{loop.next_id}});
  const double begin = cpu_seconds();
  const auto index = must(analyzer::UseIndex::build(*reader));
  fmt::print("  index of all uses: {} blocks, {:.2f} s, peak of memory {} MiB\n",
             index.blocks().size(), cpu_seconds() - begin, peak_mib());
  uint64_t visited = 0;
  const double each = cpu_seconds();
  index.each([&](AllocationId, const analyzer::Use&) { ++visited; });
  fmt::print("  all uses in order of time: {}, {:.2f} s\n", visited, cpu_seconds() - each);
  std::filesystem::remove(path);
  return 0;
}
