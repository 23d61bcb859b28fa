// What it costs to ask a large trace of host allocations: a full scan, what was live at one moment,
// one stack's allocations, a stretch of time, usage curves, a whole report (5 s and 1 GB for 10 M
// events, 60 s for 100 M are wanted on two cores). Writes the trace first.
//
//   reading_bench [EVENTS]        default 50,000,000; TIDEMARK_BENCH_KEEP=1 keeps the file
//   reading_bench FILE [scans]    asks a file that was kept; `scans`: full scans only, five of each
//
// Seconds are of this process's CPU (all threads), then of the wall.
#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "bench_program.h"
#include "event_mix.h"
#include "tidemark/analyzer/live.h"
#include "tidemark/analyzer/report.h"
#include "tidemark/analyzer/usage.h"
#include "tidemark/trace/reader.h"
#include "tidemark/trace/writer.h"

namespace {

using namespace tidemark;
using bench::cpu_seconds;
using bench::must;
using trace::Allocation;

template <class Body>
void timed(const char* what, const Body& body) {
  const double cpu = cpu_seconds();
  const auto wall = std::chrono::steady_clock::now();
  const std::string said = body();
  const double cpu_spent = cpu_seconds() - cpu;
  const std::chrono::duration<double> wall_spent = std::chrono::steady_clock::now() - wall;
  fmt::print("{:<28} {:>8.3f} s CPU {:>8.3f} s  {}\n", what, cpu_spent, wall_spent.count(), said);
}

void write_trace(const std::string& path, uint64_t events) {
  auto writer = must(trace::Writer::create(path));
  const trace::StringId api = writer->intern("malloc");
  trace::Process process;
  process.pid = 1;
  const trace::ProcessId process_id = writer->add_process(process);
  bench::MixOptions options;
  // Some memory is kept from the first event to the last: the hard case for "live at".
  options.phase_events = events / 20;
  bench::EventMix mix(options);
  int64_t now = 0;
  double spent = 0;
  uint64_t live_most = 0;
  uint64_t allocations = 0;
  std::vector<bench::MixEvent> batch(100'000);
  for (uint64_t done = 0; done < events; done += batch.size()) {
    for (bench::MixEvent& event : batch) {
      event = mix.next();
      if (!event.is_free) mix.set_handle(event, ++allocations);  // the id that the writer will give
    }
    const double begin = cpu_seconds();
    for (const bench::MixEvent& event : batch) {
      now += 20 + static_cast<int64_t>(event.address >> 4 & 255);
      if (event.is_free) {
        writer->end_allocation(static_cast<trace::AllocationId>(event.handle), trace::Layer::kHeap,
                               now, static_cast<trace::StackId>(event.stack));
        continue;
      }
      Allocation row;
      row.process = process_id;
      row.thread = static_cast<trace::ThreadId>(1 + event.thread);
      row.layer = trace::Layer::kHeap;
      row.address = event.address;
      row.size = event.size;
      row.alloc_ns = now;
      row.alloc_stack = static_cast<trace::StackId>(event.stack);
      row.api = api;
      writer->add_allocation(row);
    }
    if (done % 5'000'000 == 0) must(writer->flush());
    spent += cpu_seconds() - begin;
    live_most = std::max<uint64_t>(live_most, mix.live());
  }
  fmt::print("{:<28} {:>8.2f} M events per second of CPU; at most {} live\n", "write",
             static_cast<double>(events) / spent / 1e6, live_most);
  timed("finish", [&] {
    must(writer->finish());
    return fmt::format(
        "{:.2f} bytes an event",
        static_cast<double>(std::filesystem::file_size(path)) / static_cast<double>(events));
  });
}

std::string scan(const trace::Reader& reader, const trace::AllocationFilter& filter) {
  uint64_t rows = 0;
  uint64_t bytes = 0;
  must(reader.allocations(filter, [&](std::span<const Allocation> batch) {
    rows += batch.size();
    for (const Allocation& row : batch) bytes += row.size;
  }));
  return fmt::format("{} rows, {} bytes", rows, bytes);
}

std::string ask(const trace::Reader& reader, const std::string& sql) {
  std::string answer;
  must(reader.query(
      sql, [](auto) {},
      [&](std::span<const trace::Cell> row) {
        for (const trace::Cell& cell : row) answer += cell.text + " ";
        return true;
      }));
  return answer;
}

void full_scans(const trace::Reader& reader) {
  timed("full scan, in order", [&] { return scan(reader, {}); });
  trace::AllocationFilter any_order;
  any_order.any_order = true;
  timed("full scan, any order", [&] { return scan(reader, any_order); });
}

void read_trace(const std::string& path) {
  const auto reader = must(trace::Reader::open(path));
  const int64_t end_ns = reader->end_ns();
  full_scans(*reader);
  const analyzer::Series heap{trace::Layer::kHeap, trace::Space::kHost, trace::kNoDevice};
  for (const int64_t percent : {1, 25, 50, 75, 99}) {
    timed(fmt::format("live at {} %", percent).c_str(), [&] {
      const auto live = must(analyzer::live_at(*reader, heap, end_ns / 100 * percent));
      return fmt::format("{} blocks, {} groups", live.count, live.groups.size());
    });
  }
  trace::AllocationFilter stack;
  stack.alloc_stack = trace::StackId{12345};
  timed("one stack", [&] { return scan(*reader, stack); });
  timed("one stack, SQL", [&] {
    return ask(*reader,
               "SELECT count(*), sum(size) FROM host_allocation WHERE alloc_stack_id=12345");
  });
  timed("1 % of the time, SQL", [&] {
    return ask(*reader,
               fmt::format("SELECT count(*) FROM host_allocation WHERE alloc_ns BETWEEN {} "
                           "AND {}",
                           end_ns / 2, end_ns / 2 + end_ns / 100));
  });
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("{:<28} {:>8} MiB\n", "largest so far", usage.ru_maxrss / 1024);
  timed("usage curves", [&] {
    const auto curves = must(analyzer::usage_curves(*reader));
    return fmt::format("{} points, peak {}", curves[0].points.size(), curves[0].peak_bytes);
  });
  timed("report", [&] {
    analyzer::ReportOptions options;
    options.advice = analyzer::AdviceDepth::kQuick;
    const auto begin = std::chrono::steady_clock::now();
    const auto report = must(analyzer::build_report(*reader, options));
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    const auto events = static_cast<double>(report.allocations() + report.frees());
    rusage peak{};
    getrusage(RUSAGE_SELF, &peak);
    return fmt::format("{:.2f} M events per second, {} MiB at most", events / spent.count() / 1e6,
                       peak.ru_maxrss / 1024);
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::filesystem::exists(argv[1])) {
    if (argc > 2 && std::string_view(argv[2]) == "scans") {
      const auto reader = must(trace::Reader::open(argv[1]));
      for (int i = 0; i < 5; ++i) full_scans(*reader);
    } else {
      read_trace(argv[1]);
    }
    return 0;
  }
  const uint64_t events = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 50'000'000;
  std::string folder = (std::filesystem::temp_directory_path() / "tidemark-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return 1;
  const std::string path = folder + "/large.db";
  write_trace(path, events);
  read_trace(path);
  if (std::getenv("TIDEMARK_BENCH_KEEP") != nullptr) {
    fmt::print("kept {}\n", path);
  } else {
    std::filesystem::remove_all(folder);
  }
  return 0;
}
