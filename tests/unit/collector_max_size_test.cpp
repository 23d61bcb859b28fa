// --max-size: a trace that was kept small says the same as one that was not.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <random>
#include <thread>

#include "condensing_writer.h"
#include "tidemark/analyzer/live.h"
#include "tidemark/analyzer/report.h"

namespace tidemark::collector {
namespace {

using trace::Allocation;
using trace::Layer;

constexpr int64_t kLimitBytes = 4 << 20;
constexpr int64_t kStepNs = 100'000;

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "tidemark-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  // With its journal.
  int64_t bytes(const std::string& name) const {
    int64_t sum = 0;
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
      std::error_code error;
      const auto size = std::filesystem::file_size(file(name + suffix), error);
      if (!error) sum += static_cast<int64_t>(size);
    }
    return sum;
  }

 private:
  std::filesystem::path path_;
};

// The same events for each writer. Three processes, of which one ends early and one is killed;
// lifetimes short, long and without end; the peak of the whole early, in the middle, or late.
class Script {
 public:
  Script(uint64_t seed, trace::Writer& writer) : random_(seed), wave_(below(3)), writer_(writer) {
    for (int i = 0; i < 3; ++i) {
      processes_.push_back(writer_.add_process({}));
      threads_.push_back(writer_.add_thread(processes_.back(), i, "t"));
    }
    for (int i = 0; i < 40; ++i) {
      stacks_.push_back(writer_.add_stack(processes_[static_cast<size_t>(i) % 3], {}));
    }
    api_ = writer_.intern("malloc");
  }

  void run(size_t events, size_t of) {
    for (size_t i = 0; i < events; ++i, ++done_) {
      now_ns_ += static_cast<int64_t>(below(2 * kStepNs));
      if (done_ == of / 2) end_process(1, 0);
      if (done_ == of / 2 + of / 4) end_process(2, 137);
      const bool wave = done_ * 3 / of == wave_ && done_ % 5 == 0;
      if (live_.size() > 1 && below(100) < (wave ? 20U : 50U)) {
        // Mostly a young one.
        const size_t age =
            below(100) < 90 ? below(std::min<size_t>(live_.size(), 50)) : below(live_.size());
        free(live_.size() - 1 - age);
      } else {
        allocate(wave ? 100'000 : 2'000);
      }
    }
  }
  // What ends with the script.
  void finish() {
    writer_.meta("option_host", "full");
    EXPECT_TRUE(writer_.finish());
  }

 private:
  struct Live {
    trace::AllocationId id;
    Layer layer;
    size_t process;
  };
  uint64_t below(uint64_t limit) { return random_() % limit; }

  void allocate(uint64_t most) {
    Allocation row;
    size_t process = below(3);
    while (ended_[process]) process = below(3);
    row.process = processes_[process];
    row.thread = threads_[process];
    row.layer = below(20) == 0 ? Layer::kOs : Layer::kHeap;
    row.size = below(most);
    row.address = random_();
    // Threads are merged with small disorder.
    row.alloc_ns = now_ns_ + static_cast<int64_t>(below(kStepNs));
    row.alloc_stack = stacks_[below(13) * 3 + process];
    row.api = api_;
    live_.push_back({writer_.add_allocation(row), row.layer, process});
    last_alloc_ns_ = std::max(last_alloc_ns_, row.alloc_ns);
  }
  void free(size_t index) {
    const Live block = live_[index];
    if (ended_[block.process]) return;
    live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(index));
    now_ns_ = std::max(now_ns_, last_alloc_ns_);
    writer_.end_allocation(block.id, block.layer, now_ns_, stacks_[below(40)]);
    if (below(200) == 0) {  // a realloc that failed
      writer_.revive_allocation(block.id, block.layer);
      live_.push_back(block);
    }
  }
  void end_process(size_t process, int32_t exit) {
    now_ns_ = std::max(now_ns_, last_alloc_ns_) + 1;
    writer_.end_process(processes_[process], now_ns_, exit);
    ended_[process] = true;
  }

  std::mt19937_64 random_;
  uint64_t wave_;
  trace::Writer& writer_;
  std::vector<trace::ProcessId> processes_;
  std::vector<trace::ThreadId> threads_;
  std::vector<trace::StackId> stacks_;
  trace::StringId api_{};
  std::vector<Live> live_;
  std::array<bool, 3> ended_{};
  int64_t now_ns_ = 1;
  int64_t last_alloc_ns_ = 0;
  size_t done_ = 0;
};

std::unique_ptr<trace::Writer> open_writer(const std::string& path, int64_t limit_bytes) {
  auto writer = trace::Writer::create(path);
  EXPECT_TRUE(writer);
  if (limit_bytes == 0) return std::move(*writer);
  return condensing_writer(std::move(*writer), HostRows::kKeep, limit_bytes);
}

std::unique_ptr<trace::Reader> open_reader(const std::string& path) {
  auto reader = trace::Reader::open(path);
  EXPECT_TRUE(reader) << reader.error().message;
  return std::move(*reader);
}

std::vector<Allocation> rows_of(const trace::Reader& reader) {
  std::vector<Allocation> rows;
  EXPECT_TRUE(reader.allocations({}, [&](std::span<const Allocation> batch) {
    rows.insert(rows.end(), batch.begin(), batch.end());
  }));
  return rows;
}

// The largest value in [begin, end), of a curve that holds each value until the next point.
int64_t most_in(const analyzer::UsageCurve& curve, int64_t begin_ns, int64_t end_ns) {
  int64_t most = analyzer::bytes_at(curve, begin_ns);
  for (const analyzer::UsagePoint& point : curve.points) {
    if (point.time_ns >= begin_ns && point.time_ns < end_ns) most = std::max(most, point.bytes);
  }
  return most;
}

void expect_same_shares(const analyzer::StackShares& a, const analyzer::StackShares& b) {
  EXPECT_EQ(a.bytes, b.bytes);
  EXPECT_EQ(a.count, b.count);
  EXPECT_EQ(a.groups, b.groups);
}

void expect_same_report(const trace::Reader& full, const trace::Reader& limited) {
  const auto a = analyzer::build_report(full, {});
  const auto b = analyzer::build_report(limited, {});
  ASSERT_TRUE(a);
  ASSERT_TRUE(b);
  ASSERT_EQ(a->series.size(), b->series.size());
  for (size_t i = 0; i < a->series.size(); ++i) {
    EXPECT_EQ(a->series[i].series, b->series[i].series);
    EXPECT_EQ(a->series[i].peak_bytes, b->series[i].peak_bytes);
    EXPECT_EQ(a->series[i].peak_ns, b->series[i].peak_ns);
    EXPECT_EQ(a->series[i].allocations, b->series[i].allocations);
    EXPECT_EQ(a->series[i].allocated_bytes, b->series[i].allocated_bytes);
    EXPECT_EQ(a->series[i].frees, b->series[i].frees);
    EXPECT_EQ(a->series[i].unfreed_bytes, b->series[i].unfreed_bytes);
    EXPECT_EQ(a->series[i].unfreed_count, b->series[i].unfreed_count);
    expect_same_shares(a->series[i].at_peak, b->series[i].at_peak);
    expect_same_shares(a->series[i].leaked, b->series[i].leaked);
  }
}

// Rows that are there are those of the whole trace; those that are not were over before `until_ns`.
void expect_only_what_is_over_is_missing(const trace::Reader& full, const trace::Reader& limited) {
  const auto condensed = analyzer::condensed_of(limited);
  ASSERT_TRUE(condensed);
  std::map<trace::ProcessId, int64_t> ends;
  for (const trace::Process& process : full.processes()) ends[process.id] = process.end_ns;
  const std::vector<Allocation> kept = rows_of(limited);
  size_t at = 0;
  uint64_t missing = 0;
  for (const Allocation& row : rows_of(full)) {
    if (at < kept.size() && kept[at].id == row.id) {
      EXPECT_EQ(kept[at].size, row.size);
      EXPECT_EQ(kept[at].alloc_ns, row.alloc_ns);
      EXPECT_EQ(kept[at].free_ns, row.free_ns);
      EXPECT_EQ(kept[at].alloc_stack, row.alloc_stack);
      EXPECT_EQ(kept[at].free_stack, row.free_stack);
      ++at;
      continue;
    }
    ++missing;
    ASSERT_LE(std::min(row.free_ns, ends[row.process]), condensed->until_ns)
        << "id " << static_cast<int64_t>(row.id);
  }
  EXPECT_EQ(at, kept.size());
  EXPECT_EQ(missing, condensed->allocations);
}

void expect_same_curves(const trace::Reader& full, const trace::Reader& limited) {
  const int64_t until_ns = analyzer::condensed_of(limited)->until_ns;
  const auto a = analyzer::usage_curves(full);
  const auto b = analyzer::usage_curves(limited);
  ASSERT_TRUE(a);
  ASSERT_TRUE(b);
  ASSERT_EQ(a->size(), b->size());
  for (size_t i = 0; i < a->size(); ++i) {
    const analyzer::UsageCurve& whole = (*a)[i];
    const analyzer::UsageCurve& thinned = (*b)[i];
    size_t before = 0;
    for (const analyzer::UsagePoint& point : thinned.points) {
      ASSERT_EQ(point.bytes, analyzer::bytes_at(whole, point.time_ns)) << point.time_ns;
      if (point.time_ns < until_ns) ++before;
    }
    EXPECT_GT(before, 100U);
    // From then on each step is there.
    const auto detailed = [&](const analyzer::UsageCurve& curve) {
      return std::count_if(curve.points.begin(), curve.points.end(),
                           [&](const auto& point) { return point.time_ns > until_ns; });
    };
    EXPECT_EQ(detailed(thinned), detailed(whole));
    // Until then each maximum, to within the width of what a point stands for.
    const int64_t end_ns = whole.points.back().time_ns;
    const int64_t width_ns = end_ns / 1024;
    for (int64_t begin_ns = 0; begin_ns < end_ns; begin_ns += 16 * width_ns) {
      const int64_t most = most_in(whole, begin_ns, begin_ns + 16 * width_ns);
      EXPECT_LE(most, most_in(thinned, begin_ns - width_ns, begin_ns + 17 * width_ns));
      EXPECT_GE(most, most_in(thinned, begin_ns + width_ns, begin_ns + 15 * width_ns));
    }
  }
}

void expect_same_live_sets(const trace::Reader& full, const trace::Reader& limited) {
  const int64_t until_ns = analyzer::condensed_of(limited)->until_ns;
  const analyzer::Series heap{Layer::kHeap, trace::Space::kHost};
  const int64_t end_ns = full.end_ns();
  for (const int64_t time_ns : {until_ns, until_ns + (end_ns - until_ns) / 2, end_ns}) {
    const auto a = analyzer::live_at(full, heap, time_ns);
    const auto b = analyzer::live_at(limited, heap, time_ns);
    ASSERT_TRUE(a);
    ASSERT_TRUE(b);
    EXPECT_TRUE(b->groups_known);
    EXPECT_EQ(a->bytes, b->bytes);
    EXPECT_EQ(a->count, b->count);
    EXPECT_EQ(a->groups.size(), b->groups.size());
  }
  const auto early = analyzer::live_at(limited, heap, until_ns / 2 + 1);
  ASSERT_TRUE(early);
  EXPECT_FALSE(early->groups_known);
}

TEST(MaxSize, random_recordings_say_the_same_with_and_without_a_limit) {
  constexpr size_t kEvents = 600'000;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const Folder folder;
    for (const bool limited : {false, true}) {
      const std::string name = limited ? "limited.db" : "full.db";
      const auto writer = open_writer(folder.file(name), limited ? kLimitBytes : 0);
      Script script(seed, *writer);
      for (size_t done = 0; done < kEvents; done += kEvents / 50) {
        script.run(kEvents / 50, kEvents);
        ASSERT_TRUE(writer->flush());
        if (limited) {
          ASSERT_LE(folder.bytes(name), kLimitBytes) << "after " << done;
        }
      }
      script.finish();
    }
    EXPECT_GT(folder.bytes("full.db"), kLimitBytes) << "there is nothing to condense";
    EXPECT_LE(folder.bytes("limited.db"), kLimitBytes);
    const auto full = open_reader(folder.file("full.db"));
    const auto limited = open_reader(folder.file("limited.db"));
    EXPECT_TRUE(limited->finished());
    expect_only_what_is_over_is_missing(*full, *limited);
    expect_same_report(*full, *limited);
    expect_same_curves(*full, *limited);
    expect_same_live_sets(*full, *limited);
    if (HasFailure()) FAIL() << "seed " << seed;
  }
}

TEST(MaxSize, a_limit_that_is_not_reached_changes_nothing) {
  const Folder folder;
  for (const bool limited : {false, true}) {
    const auto writer =
        open_writer(folder.file(limited ? "limited.db" : "full.db"), limited ? 1 << 30 : 0);
    Script script(7, *writer);
    script.run(50'000, 50'000);
    script.finish();
  }
  const auto full = open_reader(folder.file("full.db"));
  const auto limited = open_reader(folder.file("limited.db"));
  EXPECT_FALSE(analyzer::condensed_of(*limited));
  EXPECT_EQ(rows_of(*full).size(), rows_of(*limited).size());
  EXPECT_TRUE(limited->host_totals()->empty());
  EXPECT_TRUE(limited->losses().empty());
  expect_same_report(*full, *limited);
}

// Shared with a child that dies.
struct Progress {
  Progress()
      : events(static_cast<std::atomic<size_t>*>(mmap(nullptr, sizeof(std::atomic<size_t>),
                                                      PROT_READ | PROT_WRITE,
                                                      MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~Progress() { munmap(events, sizeof(*events)); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  std::atomic<size_t>* events;  // of the last flush
};

TEST(MaxSize, a_collector_killed_at_any_moment_leaves_sums_and_rows_that_agree) {
  constexpr size_t kEvents = 600'000;
  constexpr size_t kPart = kEvents / 50;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  constexpr unsigned kKills = 3;  // each takes ten seconds
#else
  constexpr unsigned kKills = 12;
#endif
  std::mt19937_64 random(11);
  size_t condensed_ones = 0;
  for (unsigned round = 0; round < kKills; ++round) {
    const Folder folder;
    const Progress progress;
    const pid_t child = fork();
    if (child == 0) {
      const auto writer = open_writer(folder.file("t.db"), kLimitBytes);
      Script script(5, *writer);
      for (size_t done = 0; done < kEvents; done += kPart) {
        script.run(kPart, kEvents);
        if (!writer->flush()) _exit(1);
        *progress.events = done + kPart;
      }
      for (;;) pause();
    }
    const size_t wait_for = (10 + random() % 38) * kPart;
    while (*progress.events < wait_for) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_LE(folder.bytes("t.db"), kLimitBytes);
    const auto reader = open_reader(folder.file("t.db"));
    const auto report = analyzer::build_report(*reader, {});
    ASSERT_TRUE(report);
    if (!report->condensed) continue;
    ++condensed_ones;
    uint64_t in_sums = 0;
    const auto totals = reader->host_totals();
    ASSERT_TRUE(totals);
    for (const trace::HostTotal& total : *totals) in_sums += total.allocations;
    EXPECT_EQ(report->allocations(), in_sums);
    // Sums are written before each commit, rows when their chunk is full.
    const uint64_t in_rows = rows_of(*reader).size() + report->condensed->allocations;
    EXPECT_LE(in_rows, in_sums);
    EXPECT_GE(in_rows + 2 * kPart, in_sums);
  }
  EXPECT_GE(condensed_ones, kKills / 3) << "killed too early to test anything";
}

}  // namespace
}  // namespace tidemark::collector
