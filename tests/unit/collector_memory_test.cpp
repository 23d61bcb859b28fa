// What /proc tells of memory, on recorded text, and when it is asked.
#include <gtest/gtest.h>

#include "memory_schedule.h"
#include "proc_memory.h"

namespace tidemark::collector {
namespace {

using trace::MappingKind;
constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kMiB = 1 << 20;

// Linux 6.18, python3 3.11 that had mapped and written 1 GiB of shared anonymous memory.
constexpr const char* kStat =
    "22285 (python3) R 22283 22283 4912 0 -1 4194304 265063 6515 7 0 22 1407 6 2 20 0 1 0 186346 "
    "1090883584 265572 18446744073709551615 94227785822208 94227785822549 140720978396128 0 0 0 "
    "0\n";
constexpr const char* kStatus =
    "Name:\tpython3\nVmPeak:\t 1065316 kB\nVmHWM:\t 1062492 kB\nVmRSS:\t 1062492 kB\n"
    "RssAnon:\t    7164 kB\nRssFile:\t    6752 kB\nRssShmem:\t 1048576 kB\nVmSwap:\t      12 kB\n"
    "HugetlbPages:\t       0 kB\nThreads:\t1\n";

TEST(ProcMemory, stat_gives_resident_pages_and_faults) {
  const auto usage = parse_proc_usage(kStat);
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->state, 'R');
  EXPECT_EQ(usage->start_time, 186346U);
  EXPECT_EQ(usage->rss_pages, 265572);
  EXPECT_EQ(usage->minor_faults, 265063);
  EXPECT_EQ(usage->major_faults, 7);
}

TEST(ProcMemory, a_name_with_parentheses_shifts_nothing_and_half_a_line_is_nothing) {
  std::string text = kStat;
  text.replace(text.find("python3"), 7, "a) b (c");
  const auto usage = parse_proc_usage(text);
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->rss_pages, 265572);
  EXPECT_FALSE(parse_proc_usage(""));
  EXPECT_FALSE(parse_proc_usage("7 (a) R 1 2 3"));
  EXPECT_FALSE(parse_proc_usage("7 (a) R 1 2 3 4 5 6 x 8 9 10 11 12 13 14 15 16 17 18 19 20 21"));
}

TEST(ProcMemory, status_gives_the_kernels_peak_and_what_the_pages_are) {
  const ProcStatus status = parse_proc_status(kStatus);
  EXPECT_EQ(status.peak_rss_bytes, 1062492 * 1024);
  EXPECT_EQ(status.anonymous_bytes + status.file_bytes + status.shared_bytes, 1062492 * 1024);
  EXPECT_EQ(status.swap_bytes, 12 * 1024);
  EXPECT_EQ(status.huge_page_bytes, 0);
}

TEST(ProcMemory, what_a_zombie_does_not_say_is_not_measured) {
  const ProcStatus status = parse_proc_status("Name:\tcat\nState:\tZ (zombie)\nVmHWM:\t x kB\n");
  EXPECT_EQ(status.peak_rss_bytes, trace::kNotMeasured);
  EXPECT_EQ(status.swap_bytes, trace::kNotMeasured);
}

std::string entry(const std::string& head, int rss_kb, const std::string& flags = "rd wr mr") {
  return head + "\nSize:                  8 kB\nRss:       " + std::to_string(rss_kb) +
         " kB\nPss:       " + std::to_string(rss_kb / 2) +
         " kB\nShared_Clean:          4 kB\nAnonHugePages:      0 kB\nSwap:                  0 "
         "kB\nTHPeligible:           0\nVmFlags: " +
         flags + "\n";
}

// Shapes of glibc 2.36 on Linux 6.18, put together.
std::string a_process() {
  return entry("55b31db3a000-55b31db3b000 r--p 00000000 fe:00 18624   /usr/bin/my prog", 4) +
         entry("55b31db3b000-55b31db3c000 r-xp 00001000 fe:00 18624   /usr/bin/my prog", 4) +
         entry("55b31db3e000-55b31db3f000 rw-p 00003000 fe:00 18624   /usr/bin/my prog", 4) +
         entry("55b31db3f000-55b31db45000 rw-p 00000000 00:00 0 ", 16) +
         entry("55b33e000000-55b33e021000 rw-p 00000000 00:00 0       [heap]", 100) +
         entry("7f7a90000000-7f7a900c5000 rw-p 00000000 00:00 0 ", 200, "rd wr mr nr sd") +
         entry("7f7a900c5000-7f7a94000000 ---p 00000000 00:00 0 ", 0, "mr nr sd") +
         entry("7f7a9c5d9000-7f7a9c5da000 ---p 00000000 00:00 0 ", 0, "mr sd") +
         entry("7f7a9c5da000-7f7a9cdda000 rw-p 00000000 00:00 0 ", 12) +
         entry("7f7a9cdda000-7f7a9d5db000 rw-p 00000000 00:00 0 ", 40) +
         entry("7f7aa0000000-7f7aa1000000 rw-s 00000000 00:01 1026    /memfd:tidemark (deleted)",
               64) +
         entry("7f7aa2075000-7f7aa2095000 rw-p 00000000 00:00 0 ", 24, "rd wr mr nr") +
         entry("7f7aa3000000-7f7aa3001000 rw-s 00000000 00:01 7       /dev/shm/sem.x", 4) +
         entry("7f7aa4000000-7f7aa4001000 rw-s 00000000 00:01 8       /dev/nvidia0", 0) +
         entry("7ffc27ebf000-7ffc27ee2000 rw-p 00000000 00:00 0       [stack]", 32) +
         entry("7ffc27f00000-7ffc27f02000 r-xp 00000000 00:00 0       [vdso]", 4);
}

TEST(ProcMemory, each_piece_is_told_by_its_name_or_its_shape) {
  const auto pieces = pieces_of(parse_smaps(a_process()));
  const std::vector<std::pair<MappingKind, uint64_t>> expected = {
      {MappingKind::kFile, 8},       {MappingKind::kFile, 4},      {MappingKind::kStatic, 16},
      {MappingKind::kHeap, 100},     {MappingKind::kArena, 200},   {MappingKind::kStack, 12},
      {MappingKind::kAnonymous, 40}, {MappingKind::kTidemark, 64}, {MappingKind::kTidemark, 24},
      {MappingKind::kShared, 4},     {MappingKind::kDevice, 0},    {MappingKind::kStack, 32},
      {MappingKind::kKernel, 4}};
  ASSERT_EQ(pieces.size(), expected.size());
  for (size_t i = 0; i < pieces.size(); ++i) {
    EXPECT_EQ(pieces[i].kind, expected[i].first) << i;
    EXPECT_EQ(pieces[i].rss_bytes, expected[i].second * 1024) << i;
    EXPECT_EQ(pieces[i].pss_bytes, expected[i].second * 512) << i;
  }
  EXPECT_EQ(pieces[0].path, "/usr/bin/my prog");
  EXPECT_EQ(pieces[0].end - pieces[0].start, 0x2000U);  // two adjacent ones; then a hole
}

TEST(ProcMemory, no_resident_byte_is_left_out) {
  const auto entries = parse_smaps(a_process());
  uint64_t all = 0;
  for (const SmapsEntry& each : entries) all += each.rss_bytes;
  uint64_t kept = 0;
  for (const MappedPiece& piece : pieces_of(entries)) kept += piece.rss_bytes;
  EXPECT_EQ(kept, all);
  EXPECT_EQ(kept, 508U * 1024);
}

TEST(ProcMemory, rubbish_and_half_a_file_give_what_can_be_read) {
  EXPECT_TRUE(parse_smaps("").empty());
  EXPECT_TRUE(parse_smaps("Rss: 4 kB\nzzz\n\n").empty());
  EXPECT_TRUE(parse_smaps("9-1 rw-p 0 0:0 0\n").empty());
  const std::string whole = a_process();
  for (size_t cut = 0; cut < whole.size(); cut += 97) {
    EXPECT_LE(pieces_of(parse_smaps(whole.substr(0, cut))).size(), 13U);
  }
}

TEST(ProcMemory, another_program_under_the_same_pid_is_recognized) {
  EXPECT_TRUE(maps_our_rings("7f-80 rw-s 0 0:1 2 /memfd:tidemark (deleted)\n"));
  EXPECT_FALSE(maps_our_rings("7f-80 rw-s 0 0:1 2 /usr/bin/tidemark\n"));
}

TEST(CostBudget, work_stops_when_its_share_is_spent_and_goes_on_when_it_is_earned) {
  CostBudget budget(0.01, 10 * kMillisecond, 10 * kMillisecond, 0);
  EXPECT_TRUE(budget.allows(0));
  budget.spend(30 * kMillisecond);  // overdrawn by 20
  EXPECT_FALSE(budget.allows(0));
  EXPECT_FALSE(budget.allows(1999 * kMillisecond));
  EXPECT_TRUE(budget.allows(2001 * kMillisecond));
}

TEST(CostBudget, a_long_rest_earns_no_more_than_the_most) {
  CostBudget budget(0.01, 10 * kMillisecond, 10 * kMillisecond, 0);
  EXPECT_TRUE(budget.allows(1'000'000 * kMillisecond));
  budget.spend(11 * kMillisecond);
  EXPECT_FALSE(budget.allows(1'000'000 * kMillisecond));
}

TEST(CostBudget, over_an_hour_of_dear_work_the_share_is_kept) {
  constexpr int64_t cost_ns = 150 * kMillisecond;
  CostBudget budget(0.003, 100 * kMillisecond, 100 * kMillisecond, 0);
  int64_t spent_ns = 0;
  for (int64_t now_ns = 0; now_ns < 3600'000 * kMillisecond; now_ns += 20 * kMillisecond) {
    if (!budget.allows(now_ns)) continue;
    budget.spend(cost_ns);
    spent_ns += cost_ns;
  }
  EXPECT_LE(spent_ns, 3600'000 * kMillisecond * 3 / 1000 + 100 * kMillisecond + cost_ns);
  EXPECT_GE(spent_ns, 3600'000 * kMillisecond * 3 / 1000 - cost_ns);
}

TEST(MemorySchedule, a_climb_is_mapped_in_steps_and_only_its_last_step_is_kept) {
  MemorySchedule schedule(0);
  int64_t now_ns = 0;
  int64_t rss_bytes = 10 * kMiB;
  int kept = 0;
  int64_t mapped_bytes = 0;
  for (int i = 0; i < 200; ++i) {
    now_ns = schedule.next_ns();
    if (schedule.look(now_ns, rss_bytes).mappings) {
      kept += schedule.asked_mappings(now_ns, rss_bytes) ? 0 : 1;
      mapped_bytes = rss_bytes;
    }
    if (i < 100) rss_bytes += 10 * kMiB;
  }
  EXPECT_GE(mapped_bytes, 1010 * kMiB * 98 / 100);  // the top, once it is steady
  EXPECT_EQ(kept, 1);
}

TEST(MemorySchedule, looks_become_rarer_and_a_process_at_rest_is_mapped_ever_more_rarely) {
  MemorySchedule schedule(0);
  int snapshots = 0;
  int looks = 0;
  int64_t now_ns = 0;
  while (now_ns < 24 * 3600'000 * kMillisecond) {
    now_ns = schedule.next_ns();
    ++looks;
    if (schedule.look(now_ns, 100 * kMiB).mappings) {
      schedule.asked_mappings(now_ns, 100 * kMiB);
      ++snapshots;
    }
  }
  EXPECT_LE(looks, 24 * 3600 * 4 + 10'000);
  EXPECT_GE(snapshots, 5);
  EXPECT_LE(snapshots, 40);
}

TEST(MemorySchedule, rows_are_written_for_changes_and_for_the_first) {
  MemorySchedule schedule(0);
  trace::ProcessMemory sample;
  sample.rss_bytes = 100 * kMiB;
  EXPECT_TRUE(schedule.worth_a_row(sample));
  sample.time_ns = 20 * kMillisecond;
  EXPECT_FALSE(schedule.worth_a_row(sample));
  sample.rss_bytes += kMiB;
  EXPECT_TRUE(schedule.worth_a_row(sample));
  sample.time_ns = 5000 * kMillisecond;
  EXPECT_FALSE(schedule.worth_a_row(sample));  // nothing changed
  sample.minor_faults = 1;
  EXPECT_TRUE(schedule.worth_a_row(sample));
}

}  // namespace
}  // namespace tidemark::collector
