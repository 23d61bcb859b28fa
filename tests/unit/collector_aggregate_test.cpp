// Sums of the host's allocations are those of its rows, to the byte.
#include <gtest/gtest.h>

#include <random>

#include "envelope.h"
#include "fake_reader.h"
#include "host_aggregate.h"
#include "tidemark/analyzer/report.h"

namespace tidemark::collector {
namespace {

using trace::AllocationId;
using trace::Layer;
using trace::ProcessId;

constexpr int64_t kMs = 1'000'000;

// The same events as rows and as sums.
struct Both {
  tests::FakeReader rows;
  tests::FakeReader sums;
  HostAggregate aggregate;
  std::vector<size_t> live;

  Both() { rows.end = sums.end = 1'000'000 * kMs; }

  void add_process(int32_t id, int64_t end_ns, int32_t exit) {
    trace::Process process;
    process.id = static_cast<ProcessId>(id);
    process.end_ns = end_ns;
    process.exit = exit;
    rows.process_rows.push_back(process);
    sums.process_rows.push_back(process);
    if (end_ns != trace::kNever) ends.emplace_back(process.id, end_ns);
  }
  size_t allocate(int64_t time_ns, uint64_t size, int32_t process = 1, int64_t stack = 1,
                  Layer layer = Layer::kHeap, int32_t thread = 1) {
    trace::Allocation row;
    row.id = static_cast<AllocationId>(rows.allocation_rows.size() + 1);
    row.process = static_cast<ProcessId>(process);
    row.thread = static_cast<trace::ThreadId>(thread);
    row.layer = layer;
    row.size = size;
    row.alloc_ns = time_ns;
    row.alloc_stack = static_cast<trace::StackId>(stack);
    row.api = rows.intern(layer == Layer::kHeap ? "malloc" : "mmap");
    sums.intern(layer == Layer::kHeap ? "malloc" : "mmap");
    rows.allocation_rows.push_back(row);
    aggregate.begin(row.id, row);
    live.push_back(rows.allocation_rows.size() - 1);
    return live.back();
  }
  void free(size_t index, int64_t time_ns) {
    trace::Allocation& row = rows.allocation_rows[index];
    row.free_ns = time_ns;
    aggregate.end(row.id, time_ns);
    std::erase(live, index);
  }
  void revive(size_t index) {
    trace::Allocation& row = rows.allocation_rows[index];
    row.free_ns = trace::kNever;
    aggregate.revive(row.id);
    live.push_back(index);
  }
  // The collector notices an end soon after.
  void end_processes(int64_t now_ns) {
    std::erase_if(ends, [&](const auto& end) {
      if (end.second > now_ns) return false;
      aggregate.end_process(end.first, end.second);
      return true;
    });
  }
  void finish() {
    end_processes(INT64_MAX);
    aggregate.settle_all();
    sums.total_rows = aggregate.totals();
    sums.curve_rows = aggregate.curves();
  }
  std::vector<std::pair<ProcessId, int64_t>> ends;
};

void expect_same(const analyzer::StackShares& a, const analyzer::StackShares& b) {
  EXPECT_EQ(a.bytes, b.bytes);
  EXPECT_EQ(a.count, b.count);
  EXPECT_EQ(a.groups, b.groups);
  ASSERT_EQ(a.top.size(), b.top.size());
  for (size_t i = 0; i < a.top.size(); ++i) {
    EXPECT_EQ(a.top[i].bytes, b.top[i].bytes) << i;
    EXPECT_EQ(a.top[i].count, b.top[i].count) << i;
    EXPECT_EQ(a.top[i].api, b.top[i].api) << i;
  }
}

// A report of either says the same.
void expect_same_report(const Both& both) {
  analyzer::ReportOptions options;
  options.stacks = 1000;
  const auto rows = analyzer::build_report(both.rows, options);
  const auto sums = analyzer::build_report(both.sums, options);
  ASSERT_TRUE(rows);
  ASSERT_TRUE(sums);
  ASSERT_EQ(rows->series.size(), sums->series.size());
  for (size_t i = 0; i < rows->series.size(); ++i) {
    const analyzer::SeriesReport& a = rows->series[i];
    const analyzer::SeriesReport& b = sums->series[i];
    EXPECT_EQ(a.series, b.series);
    EXPECT_EQ(a.peak_bytes, b.peak_bytes);
    EXPECT_EQ(a.peak_ns, b.peak_ns);
    EXPECT_EQ(a.allocations, b.allocations);
    EXPECT_EQ(a.allocated_bytes, b.allocated_bytes);
    EXPECT_EQ(a.frees, b.frees);
    EXPECT_EQ(a.unfreed_bytes, b.unfreed_bytes);
    EXPECT_EQ(a.unfreed_count, b.unfreed_count);
    expect_same(a.at_peak, b.at_peak);
    expect_same(a.leaked, b.leaked);
  }
  ASSERT_EQ(rows->processes.size(), sums->processes.size());
  for (size_t i = 0; i < rows->processes.size(); ++i) {
    const auto& a = rows->processes[i].memory.heap_peak;
    const auto& b = sums->processes[i].memory.heap_peak;
    ASSERT_EQ(a.has_value(), b.has_value());
    if (a) {
      EXPECT_EQ(a->time_ns, b->time_ns);
      expect_same(rows->processes[i].heap_at_peak, sums->processes[i].heap_at_peak);
    }
  }
}

uint64_t temporary(const Both& both) {
  uint64_t count = 0;
  for (const trace::HostTotal& total : both.sums.total_rows) count += total.temporary;
  return count;
}

TEST(HostAggregate, a_block_given_back_and_taken_in_one_instant_makes_no_peak) {
  Both both;
  both.add_process(1, 100, 0);
  const size_t first = both.allocate(10, 100);
  both.allocate(20, 100);  // delivered before the free of the same instant
  both.free(first, 20);
  both.finish();
  expect_same_report(both);
  EXPECT_EQ(both.sums.total_rows[0].peak_bytes, 100U);
}

TEST(HostAggregate, what_a_process_held_ends_with_it_and_is_leaked_only_if_it_ended_by_itself) {
  Both both;
  both.add_process(1, 50, 0);
  both.add_process(2, 60, 137);
  both.add_process(3, trace::kNever, 0);
  for (const int32_t process : {1, 2, 3}) both.allocate(10 * process, 100, process, process);
  both.allocate(55, 70, 3, 3);
  both.allocate(65, 70, 3, 3);
  both.finish();
  expect_same_report(both);
}

TEST(HostAggregate, a_failed_realloc_leaves_things_as_they_were) {
  Both both;
  both.add_process(1, 100, 0);
  const size_t block = both.allocate(10, 100);
  both.allocate(15, 10, 1, 2);
  both.free(block, 20);
  both.revive(block);
  both.allocate(30, 50, 1, 2);
  both.finish();
  expect_same_report(both);
  EXPECT_EQ(both.aggregate.lost_revivals(), 0U);
}

TEST(HostAggregate, a_block_is_temporary_when_its_thread_allocated_nothing_before_its_free) {
  Both both;
  both.add_process(1, 100, 0);
  both.free(both.allocate(10, 8), 11);
  const size_t kept = both.allocate(12, 8);
  both.free(both.allocate(13, 8, 1, 1, Layer::kHeap, 2), 14);
  both.free(kept, 15);  // only another thread allocated in between
  const size_t not_temporary = both.allocate(20, 8);
  both.allocate(21, 8);
  both.free(not_temporary, 22);
  both.finish();
  EXPECT_EQ(temporary(both), 3U);
}

TEST(HostAggregate, random_recordings_say_the_same_as_rows_and_as_sums) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](uint64_t limit) { return random() % limit; };
    Both both;
    int64_t now_ns = 0;
    for (int32_t process = 1; process <= 3; ++process) {
      both.add_process(process, process == 3 ? trace::kNever : 40'000 * kMs * process,
                       process == 2 ? 139 : 0);
    }
    const auto alive = [&](int32_t process) { return now_ns < 40'000 * kMs * process; };
    for (int i = 0; i < 4000; ++i) {
      now_ns += static_cast<int64_t>(below(40)) * kMs;
      both.end_processes(now_ns);
      // Threads are merged with small disorder.
      const int64_t time_ns = std::max<int64_t>(0, now_ns - static_cast<int64_t>(below(3)) * kMs);
      const bool falling = i / 500 % 2 == 1;
      if (below(10) < (falling ? 6U : 3U) && !both.live.empty()) {
        const size_t index = both.live[below(both.live.size())];
        const trace::Allocation& row = both.rows.allocation_rows[index];
        if (row.alloc_ns <= time_ns && alive(static_cast<int32_t>(row.process))) {
          both.free(index, time_ns);
        }
        continue;
      }
      const auto process = static_cast<int32_t>(below(3) + 1);
      if (process != 3 && !alive(process)) continue;
      both.allocate(time_ns, below(1000), process, static_cast<int64_t>(process * 10 + below(6)),
                    below(5) == 0 ? Layer::kOs : Layer::kHeap,
                    static_cast<int32_t>(below(2) + static_cast<uint64_t>(process) * 2));
      if (below(50) == 0) both.aggregate.settle();
    }
    both.finish();
    EXPECT_EQ(both.aggregate.late_events(), 0U);
    expect_same_report(both);
    if (HasFailure()) FAIL() << "seed " << seed;
  }
}

TEST(HostAggregate, an_event_that_comes_too_late_is_counted_and_totals_stay_right) {
  Both both;
  both.add_process(1, trace::kNever, 0);
  const size_t block = both.allocate(1, 100);
  both.allocate(5'000 * kMs, 10, 1, 2);
  both.aggregate.settle();
  both.allocate(10'000 * kMs, 10, 1, 2);
  both.aggregate.settle();
  both.free(block, 2);
  both.finish();
  EXPECT_EQ(both.aggregate.late_events(), 1U);
  EXPECT_EQ(both.sums.total_rows[0].frees, 1U);
  EXPECT_EQ(both.sums.total_rows[0].freed_bytes, 100U);
}

TEST(Envelope, memory_is_bounded_and_the_maximum_exact) {
  std::mt19937_64 random(3);
  Envelope envelope(64);
  int64_t most = 0;
  int64_t most_ns = 0;
  int64_t last = 0;
  int64_t time_ns = 0;
  for (int i = 0; i < 200'000; ++i) {
    time_ns += static_cast<int64_t>(random() % 1'000'000);
    last = static_cast<int64_t>(random() % 1'000'000'000);
    envelope.add({time_ns, last, i});
    if (last > most) {
      most = last;
      most_ns = time_ns;
    }
  }
  const auto points = envelope.points();
  EXPECT_LE(points.size(), 128U);
  EXPECT_GE(points.size(), 32U);
  const auto top = std::max_element(points.begin(), points.end(),
                                    [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
  EXPECT_EQ(top->bytes, most);
  EXPECT_EQ(top->time_ns, most_ns);
  EXPECT_EQ(points.back().bytes, last);
  EXPECT_EQ(points.back().time_ns, time_ns);
  EXPECT_TRUE(std::is_sorted(points.begin(), points.end(),
                             [](const auto& a, const auto& b) { return a.time_ns < b.time_ns; }));
}

}  // namespace
}  // namespace tidemark::collector
