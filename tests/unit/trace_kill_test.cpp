// A collector that dies: what it had flushed is in the trace.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "trace_testing.h"

namespace tidemark::trace {
namespace {

// Shared with the child: how much it had flushed.
struct Progress {
  std::atomic<size_t> flushed_allocations;
  std::atomic<size_t> flushed_events;
};

struct SharedProgress {
  Progress* value = static_cast<Progress*>(
      mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  SharedProgress() = default;
  SharedProgress(const SharedProgress&) = delete;
  SharedProgress& operator=(const SharedProgress&) = delete;
  ~SharedProgress() { munmap(value, sizeof(Progress)); }
};

constexpr size_t kEventsPerFlush = 500;

[[noreturn]] void record_until_killed(const std::string& path, Progress& progress, size_t flushes) {
  auto writer = Writer::create(path);
  if (!writer) _exit(1);
  Recording recording(1);
  for (size_t i = 0; i < flushes; ++i) {
    recording.add_allocations(**writer, kEventsPerFlush, false);
    if (!(*writer)->flush()) _exit(2);
    progress.flushed_allocations = recording.allocations.size();
    progress.flushed_events = (i + 1) * kEventsPerFlush;
  }
  recording.add_allocations(**writer, kEventsPerFlush / 2, false);
  _exit(0);  // no destructor, no finish
}

// What the child had after some number of events, made again.
std::vector<Allocation> recorded_after(size_t events, const std::string& scratch) {
  auto writer = Writer::create(scratch);
  EXPECT_TRUE(writer);
  Recording recording(1);
  for (size_t done = 0; done < events; done += kEventsPerFlush) {
    recording.add_allocations(**writer, kEventsPerFlush, false);
  }
  return recording.allocations;
}

TEST(TraceKill, what_was_flushed_is_there_when_the_writer_ends_without_finish) {
  const TestFolder folder;
  const SharedProgress progress;
  const pid_t child = fork();
  if (child == 0) record_until_killed(folder.file("t.db"), *progress.value, 12);
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  const auto reader = Reader::open(folder.file("t.db"));
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_FALSE((*reader)->finished());
  EXPECT_GT((*reader)->end_ns(), 0);
  EXPECT_TRUE(all_allocations(**reader) ==
              recorded_after(12 * kEventsPerFlush, folder.file("s.db")));
}

TEST(TraceKill, what_was_flushed_is_there_after_a_kill_at_any_moment) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 20; ++round) {
    const TestFolder folder;
    const SharedProgress progress;
    const pid_t child = fork();
    if (child == 0) record_until_killed(folder.file("t.db"), *progress.value, 1000000);
    while (progress.value->flushed_events == 0) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 150000));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    const auto reader = Reader::open(folder.file("t.db"));
    ASSERT_TRUE(reader) << reader.error().message;
    // The kill may fall between a commit and the note of it: one flush more is right too.
    const auto rows = all_allocations(**reader);
    const size_t events = progress.value->flushed_events;
    EXPECT_TRUE(rows == recorded_after(events, folder.file("s.db")) ||
                rows == recorded_after(events + kEventsPerFlush, folder.file("s.db")))
        << "after " << events << " events";
  }
}

// A limit on the size of files stands for a full disk: writes fail in the midst of a recording.
TEST(TraceKill, a_write_that_fails_is_reported_and_what_was_flushed_stays) {
  const TestFolder folder;
  const SharedProgress progress;
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{3 << 20, 3 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    auto writer = Writer::create(folder.file("t.db"));
    if (!writer) _exit(1);
    Recording recording(1);
    for (size_t i = 0; i < 2000; ++i) {
      recording.add_allocations(**writer, kEventsPerFlush, false);
      const auto flushed = (*writer)->flush();
      if (!flushed) {
        if (flushed.error().message.find("t.db") == std::string::npos) _exit(3);
        if (flushed.error().message.find("can be read") == std::string::npos) _exit(4);
        if ((*writer)->finish()) _exit(5);
        writer->reset();
        _exit(0);
      }
      progress.value->flushed_events = (i + 1) * kEventsPerFlush;
    }
    _exit(2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  ASSERT_EQ(WEXITSTATUS(status), 0);
  const auto reader = Reader::open(folder.file("t.db"));
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_TRUE(all_allocations(**reader) ==
              recorded_after(progress.value->flushed_events, folder.file("s.db")));
}

}  // namespace
}  // namespace tidemark::trace
