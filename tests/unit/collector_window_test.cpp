// --window: how it is written, when it is open, and what is then kept.
#include <gtest/gtest.h>

#include "arena.h"
#include "collector_fakes.h"
#include "pairing.h"
#include "recording_window.h"

namespace tidemark::collector {
namespace {

using namespace fakes;
using Kind = WindowSpec::Kind;
using trace::kNever;

constexpr int64_t kSecond = 1'000'000'000;

TEST(WindowSpec, times_ranges_and_signals) {
  const auto time = parse_window("1.5s:2min");
  ASSERT_TRUE(time);
  EXPECT_EQ(time->kind, Kind::kTime);
  EXPECT_EQ(time->begin_ns, 3 * kSecond / 2);
  EXPECT_EQ(time->end_ns, 120 * kSecond);
  const auto from = parse_window("10:");
  ASSERT_TRUE(from);
  EXPECT_EQ(from->begin_ns, 10 * kSecond);
  EXPECT_EQ(from->end_ns, kNever);
  const auto until = parse_window(":500ms");
  ASSERT_TRUE(until);
  EXPECT_EQ(until->begin_ns, 0);
  EXPECT_EQ(until->end_ns, kSecond / 2);
  const auto range = parse_window("nvtx:step 3: go");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->kind, Kind::kRange);
  EXPECT_EQ(range->range, "step 3: go");
  const auto signal = parse_window("signal");
  ASSERT_TRUE(signal);
  EXPECT_EQ(signal->kind, Kind::kSignal);
}

TEST(WindowSpec, iterations_count_from_one) {
  const auto some = parse_window("iterations:10:20");
  ASSERT_TRUE(some);
  EXPECT_EQ(some->kind, Kind::kIterations);
  EXPECT_EQ(some->begin_iteration, 10);
  EXPECT_EQ(some->end_iteration, 20);
  const auto from = parse_window("iterations:10:");
  ASSERT_TRUE(from);
  EXPECT_EQ(from->begin_iteration, 10);
  EXPECT_EQ(from->end_iteration, kNever);
  const auto until = parse_window("iterations::3");
  ASSERT_TRUE(until);
  EXPECT_EQ(until->begin_iteration, 1);
  EXPECT_EQ(until->end_iteration, 3);
  for (const char* text :
       {"iterations:", "iterations::", "iterations:10", "iterations:0:3", "iterations:-1:3",
        "iterations:1:2:3", "iterations:1s:2s", "iterations:99999999999999999999:"}) {
    const auto none = parse_window(text);
    ASSERT_FALSE(none) << text;
    EXPECT_NE(none.error().message.find("names no iterations"), std::string::npos) << text;
  }
  EXPECT_NE(parse_window("iterations:3:3").error().message.find("before it begins"),
            std::string::npos);
}

TEST(WindowSpec, what_is_none_says_what_one_is) {
  for (const char* text : {"", ":", "10s", "steps:1-2", "1x:2s", "-1s:2s", "nan:2s", "1s:2s:3s",
                           "1s:inf", "1e300h:"}) {
    const auto window = parse_window(text);
    ASSERT_FALSE(window) << text;
    EXPECT_NE(window.error().message.find("nvtx:NAME"), std::string::npos) << text;
  }
  EXPECT_NE(parse_window("2s:1s").error().message.find("before it begins"), std::string::npos);
  EXPECT_NE(parse_window("nvtx:").error().message.find("lacks the name"), std::string::npos);
}

struct WindowTest : testing::Test {
  void limit_to(WindowSpec spec) {
    window = std::make_unique<RecordingWindow>(std::move(spec), 0, writer);
    window->begin(arena.header());
    pairing.keep_only(*window);
    producer = pairing.open_ring({1, 10, 10, "t"});
    define(process_start(0, 1, 10));
    define(name_record(1, "step"));
    define(name_record(2, "other"));
  }
  void define(const std::vector<std::byte>& record) {
    pairing.begin_pass(1000);
    pairing.definition(*producer, *reinterpret_cast<const wire::Header*>(record.data()));
  }
  template <class Record>
  void event(const Record& record) {
    event_of(*producer, record);
  }
  template <class Record>
  void event_of(Producer& thread, const Record& record) {
    pairing.begin_pass(1000);
    OrderedEvent ordered{&lane, &record.header, 0, false};
    lane.producer = &thread;
    pairing.events({&ordered, 1});
    ASSERT_FALSE(ordered.refused);
  }
  void launch(uint64_t time_ns, uint32_t correlation) {
    launch_of(*producer, time_ns, correlation);
  }
  void launch_of(Producer& thread, uint64_t time_ns, uint32_t correlation) {
    auto record = make<wire::Launch>(wire::RecordType::kLaunch, time_ns);
    record.correlation = correlation;
    event_of(thread, record);
  }
  std::unique_ptr<Producer> other_thread(int32_t tid, const std::string& name) const {
    return pairing.open_ring({1, 10, tid, name});
  }
  template <class Record>
  void finished(wire::RecordType type, uint32_t correlation) {
    auto record = make<Record>(type, 900);
    record.end_ns = 950;
    record.correlation = correlation;
    pairing.activity(*producer, record.header);
  }
  void kernel(uint32_t correlation) {
    finished<wire::Kernel>(wire::RecordType::kKernel, correlation);
  }
  void range(uint64_t time_ns, wire::MarkerKind kind, wire::NameId name) {
    auto record = make<wire::Marker>(wire::RecordType::kMarker, time_ns);
    record.header.detail = static_cast<uint16_t>(kind);
    record.name = name;
    event(record);
  }
  void pop(uint64_t time_ns) {
    auto record = make<wire::MarkerEnd>(wire::RecordType::kMarkerEnd, time_ns);
    record.header.detail = static_cast<uint16_t>(wire::MarkerKind::kPushed);
    event(record);
  }
  std::vector<uint32_t> kernels() const {
    std::vector<uint32_t> correlations;
    for (const trace::Kernel& row : writer.kernels) correlations.push_back(row.correlation);
    return correlations;
  }

  Arena arena = std::move(*Arena::create({}));
  RecordingWriter writer;
  Losses losses;
  Pairing pairing{writer, losses, 0, nullptr};
  Lane lane{RingReader(arena.ring(0), arena.ring_data(0), wire::kRingDataBytes), nullptr, 0, 0};
  std::unique_ptr<RecordingWindow> window;
  std::unique_ptr<Producer> producer;
};

using Correlations = std::vector<uint32_t>;

TEST_F(WindowTest, of_a_time_what_was_asked_for_inside_is_kept_whenever_it_ran) {
  limit_to({Kind::kTime, 100, 200, ""});
  EXPECT_EQ(arena.header().window_begin_ns.load(), 100U);
  EXPECT_EQ(arena.header().window_end_ns.load(), 200U);
  launch(99, 1);
  launch(100, 2);
  launch(199, 3);
  launch(200, 4);
  for (const uint32_t correlation : {1U, 2U, 3U, 4U}) kernel(correlation);
  EXPECT_EQ(kernels(), (Correlations{2, 3}));
  EXPECT_EQ(losses.count("kernels_outside_window"), 2U);
  EXPECT_EQ(pairing.counts().kernels, 2U);
  ASSERT_EQ(writer.windows.size(), 1U);
  EXPECT_EQ(writer.windows[0].begin_ns, 100);
  EXPECT_EQ(writer.windows[0].end_ns, 200);
}

TEST_F(WindowTest, copies_and_sets_outside_are_counted_by_kind) {
  limit_to({Kind::kTime, 100, 200, ""});
  launch(50, 1);
  launch(150, 2);
  for (const uint32_t correlation : {1U, 2U}) {
    finished<wire::Transfer>(wire::RecordType::kTransfer, correlation);
    finished<wire::Memset>(wire::RecordType::kMemset, correlation);
  }
  EXPECT_EQ(writer.transfers.size(), 1U);
  EXPECT_EQ(writer.memsets.size(), 1U);
  EXPECT_EQ(losses.count("copies_outside_window"), 1U);
  EXPECT_EQ(losses.count("sets_outside_window"), 1U);
}

TEST_F(WindowTest, of_launches_that_targets_kept_quiet_about_nothing_is_kept) {
  limit_to({Kind::kTime, 100, 200, ""});
  kernel(7);
  pairing.end_pass();
  pairing.end_pass();
  EXPECT_TRUE(writer.kernels.empty());
  EXPECT_EQ(losses.count("kernels_outside_window"), 1U);
  EXPECT_EQ(losses.count("activity_without_launch"), 0U);
}

TEST_F(WindowTest, pages_that_moved_outside_are_counted_and_pools_are_kept) {
  limit_to({Kind::kTime, 100, 200, ""});
  for (const uint64_t time_ns : {99, 100, 200}) {
    auto moved = make<wire::Migration>(wire::RecordType::kMigration, time_ns);
    moved.end_ns = time_ns;
    pairing.activity(*producer, moved.header);
  }
  auto pool = make<wire::DriverPool>(wire::RecordType::kDriverPool, 99);
  pool.held = 100;
  pairing.activity(*producer, pool.header);
  ASSERT_EQ(writer.migrations.size(), 1U);
  EXPECT_EQ(writer.migrations[0].start_ns, 100);
  EXPECT_EQ(losses.count("migrations_outside_window"), 2U);
  EXPECT_EQ(writer.driver_pools.size(), 1U);
}

TEST_F(WindowTest, allocations_are_kept_outside_too) {
  limit_to({Kind::kTime, 100, 200, ""});
  event(alloc(50, 0x1000, 64));
  EXPECT_EQ(writer.rows.size(), 1U);
}

TEST_F(WindowTest, each_signal_opens_or_closes) {
  limit_to({Kind::kSignal, 0, kNever, ""});
  launch(50, 1);
  EXPECT_TRUE(window->toggle(arena.header(), 100));
  EXPECT_EQ(arena.header().window_begin_ns.load(), 100U);
  launch(150, 2);
  EXPECT_FALSE(window->toggle(arena.header(), 200));
  EXPECT_EQ(arena.header().window_end_ns.load(), 200U);
  launch(250, 3);
  EXPECT_TRUE(window->toggle(arena.header(), 300));
  launch(350, 4);
  for (const uint32_t correlation : {1U, 2U, 3U, 4U}) kernel(correlation);
  EXPECT_EQ(kernels(), (Correlations{2, 4}));
  ASSERT_EQ(writer.windows.size(), 2U);
  EXPECT_EQ(writer.windows[0].end_ns, 200);
  EXPECT_EQ(writer.windows[1].begin_ns, 300);
  EXPECT_EQ(writer.windows[1].end_ns, kNever);
}

TEST_F(WindowTest, an_iteration_ends_with_its_backward_pass) {
  limit_to(*parse_window("iterations:2:4"));
  EXPECT_EQ(arena.header().window_end_ns.load(), 0U);  // targets tell of all
  const auto backward = other_thread(11, "pt_autograd_0");
  const auto loader = other_thread(12, "pt_data_pin");
  uint32_t next = 1;
  for (uint64_t begin_ns = 100; begin_ns < 600; begin_ns += 100) {
    launch(begin_ns, next++);                     // 1, 6, 11: optimizer and forward
    launch(begin_ns + 10, next++);                // 2, 7, 12
    launch_of(*backward, begin_ns + 20, next++);  // 3, 8, 13
    launch_of(*loader, begin_ns + 25, next++);    // 4, 9, 14: fetches ahead meanwhile
    launch_of(*backward, begin_ns + 30, next++);  // 5, 10, 15
  }
  for (uint32_t correlation = 1; correlation < next; ++correlation) kernel(correlation);
  EXPECT_EQ(kernels(), (Correlations{6, 7, 8, 9, 10, 11, 12, 13, 14, 15}));
  ASSERT_EQ(writer.windows.size(), 1U);
  EXPECT_EQ(writer.windows[0].begin_ns, 200);
  EXPECT_EQ(writer.windows[0].end_ns, 400);
  EXPECT_NE(writer.windows[0].process, trace::ProcessId{});
  EXPECT_EQ(producer->process->iterations, 5);
}

TEST_F(WindowTest, where_the_main_thread_gives_no_work_the_thread_that_does_is_meant) {
  limit_to(*parse_window("iterations:2:"));
  const auto backward = other_thread(11, "pt_autograd_0");
  const auto trainer = other_thread(12, "trainer");
  launch_of(*trainer, 100, 1);
  launch_of(*backward, 110, 2);
  launch_of(*trainer, 120, 3);
  for (const uint32_t correlation : {1U, 2U, 3U}) kernel(correlation);
  EXPECT_EQ(kernels(), Correlations{3});
}

TEST_F(WindowTest, the_first_iteration_begins_with_the_first_work) {
  limit_to(*parse_window("iterations::2"));
  launch(100, 1);
  launch(200, 2);
  for (const uint32_t correlation : {1U, 2U}) kernel(correlation);
  EXPECT_EQ(kernels(), (Correlations{1, 2})) << "without a backward pass it does not end";
  ASSERT_EQ(writer.windows.size(), 1U);
  EXPECT_EQ(writer.windows[0].begin_ns, 100);
  EXPECT_EQ(writer.windows[0].end_ns, kNever);
  EXPECT_EQ(producer->process->iterations, 1);
}

TEST_F(WindowTest, what_is_told_late_belongs_to_the_range_in_which_it_was) {
  limit_to({Kind::kRange, 0, kNever, "step"});
  for (const uint64_t begin_ns : {100, 200, 300}) {
    range(begin_ns, wire::MarkerKind::kPushed, 1);
    pop(begin_ns + 50);
  }
  for (const uint64_t time_ns : {99, 100, 149, 150, 249, 260, 349, 350}) {
    auto moved = make<wire::Migration>(wire::RecordType::kMigration, time_ns);
    moved.end_ns = time_ns;
    pairing.activity(*producer, moved.header);
  }
  std::vector<int64_t> kept;
  for (const trace::Migration& row : writer.migrations) kept.push_back(row.start_ns);
  EXPECT_EQ(kept, (std::vector<int64_t>{100, 149, 249, 349}));
}

TEST_F(WindowTest, ranges_of_the_name_nest_and_others_do_not_count) {
  limit_to({Kind::kRange, 0, kNever, "step"});
  EXPECT_EQ(arena.header().window_end_ns.load(), 0U);  // targets tell of all
  launch(10, 1);
  range(20, wire::MarkerKind::kPushed, 2);
  launch(21, 2);
  range(22, wire::MarkerKind::kPushed, 1);
  range(23, wire::MarkerKind::kPushed, 1);
  pop(24);
  launch(25, 3);
  pop(26);
  launch(27, 4);
  range(28, wire::MarkerKind::kMark, 1);
  launch(29, 5);
  for (const uint32_t correlation : {1U, 2U, 3U, 4U, 5U}) kernel(correlation);
  EXPECT_EQ(kernels(), Correlations{3});
  EXPECT_EQ(losses.count("kernels_outside_window"), 4U);
  ASSERT_EQ(writer.windows.size(), 1U);
  EXPECT_EQ(writer.windows[0].process, trace::ProcessId{1});
  EXPECT_EQ(writer.windows[0].begin_ns, 22);
  EXPECT_EQ(writer.windows[0].end_ns, 26);
}

}  // namespace
}  // namespace tidemark::collector
