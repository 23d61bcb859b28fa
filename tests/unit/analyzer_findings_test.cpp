// Waste planted by hand is found with its bytes; what is needed is not.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "fake_reader.h"
#include "tidemark/analyzer/findings.h"

namespace tidemark::analyzer {
namespace {

using tests::FakeReader;
using trace::AllocationId;
using trace::kNever;
using trace::Layer;
using trace::Space;
using trace::StackId;

// The peak lies at 400, where all but block 7 live.
class Wasteful {
 public:
  FakeReader reader;

  Wasteful() {
    reader.end = 1000;
    block(1, 100, 900);     // never used
    block(2, 100, 900);     // copied to, never read
    block(3, 100, 900);     // first used at 700
    block(4, 100, 900);     // last used at 200
    block(5, 100, 900);     // used all the time
    block(6, 400, 410);     // makes the peak; the device comes to it later
    block(7, 500, 520);     // by its use the device is past the peak
    block(8, 100, 900);     // used at 150 and at 800
    block(9, 100, kNever);  // never freed
    trace::Process process;
    process.id = trace::ProcessId{1};
    process.end_ns = 1000;
    process.exit = 0;
    reader.process_rows = {process};
    trace::Transfer copy;
    copy.id = 1;
    copy.start_ns = 150;
    copy.dst_allocation = AllocationId{2};
    reader.transfer_rows = {copy};
    kernel(1, 200, {4, 5});
    kernel(2, 405, {5, 6});
    kernel(3, 510, {7});
    kernel(4, 700, {3, 5});
    kernel(5, 150, {8});
    kernel(6, 800, {8, 9});
    kernel(7, 390, {9});
    kernel(8, 406, {9});
  }

  std::vector<Finding> find() {
    const auto curves = usage_curves(reader);
    const auto found = find_waste(reader, {}, *curves);
    EXPECT_TRUE(found.has_value());
    return *found;
  }

 private:
  void block(int id, int64_t alloc_ns, int64_t free_ns) {
    trace::Allocation row;
    row.id = AllocationId{id};
    row.process = trace::ProcessId{1};
    row.layer = Layer::kDriver;
    row.space = Space::kDevice;
    row.device = 0;
    row.size = id == 7 ? 500 : 1000 + static_cast<uint64_t>(id);
    row.alloc_ns = alloc_ns;
    row.free_ns = free_ns;
    row.alloc_stack = StackId{id};
    trace::Frame frame;
    frame.function = "make";
    frame.file = "wasteful.cu";
    frame.line = id;
    reader.stacks[row.alloc_stack] = {frame};
    reader.allocation_rows.push_back(row);
  }

  void kernel(int64_t id, int64_t start_ns, const std::vector<int64_t>& blocks) {
    trace::Kernel row;
    row.id = id;
    row.start_ns = start_ns;
    row.end_ns = start_ns + 1;
    reader.kernel_rows.push_back(row);
    for (const int64_t handed : blocks) {
      reader.access_rows.push_back({id, AllocationId{handed}});
    }
  }
};

TEST(Findings, EachPatternIsFoundAtItsLineWithItsBytes) {
  std::map<Pattern, Finding> by_pattern;
  const std::vector<Finding> found = Wasteful().find();
  for (const Finding& finding : found) by_pattern[finding.pattern] = finding;
  ASSERT_EQ(found.size(), 6U);
  ASSERT_EQ(by_pattern.size(), 6U);
  const std::map<Pattern, int> lines = {
      {Pattern::kUnused, 1},           {Pattern::kDeadWrite, 2},     {Pattern::kEarlyAllocation, 3},
      {Pattern::kLateDeallocation, 4}, {Pattern::kTemporaryIdle, 8}, {Pattern::kLeak, 9}};
  for (const auto& [pattern, line] : lines) {
    const Finding& finding = by_pattern.at(pattern);
    EXPECT_EQ(finding.line, line);
    EXPECT_EQ(finding.file, "wasteful.cu");
    EXPECT_EQ(finding.bytes, 1000U + static_cast<uint64_t>(line));
    EXPECT_EQ(finding.count, 1U);
    ASSERT_TRUE(finding.example.has_value());
    EXPECT_EQ(finding.example->block, AllocationId{line});
    EXPECT_LT(finding.peak_without_bytes, finding.peak_bytes);
  }
  // From when to when it lay idle.
  EXPECT_EQ(by_pattern.at(Pattern::kUnused).example->begin_ns, 100);
  EXPECT_EQ(by_pattern.at(Pattern::kUnused).example->end_ns, 900);
  EXPECT_EQ(by_pattern.at(Pattern::kLateDeallocation).example->end_ns, 900);
  EXPECT_EQ(by_pattern.at(Pattern::kLeak).example->end_ns, kNever);
  // Most bytes x time first: there for 900 ns, not for 800.
  EXPECT_EQ(found.front().pattern, Pattern::kLeak);
}

bool holds(const std::vector<Finding>& found, Pattern pattern) {
  return std::any_of(found.begin(), found.end(),
                     [&](const Finding& finding) { return finding.pattern == pattern; });
}

TEST(Findings, WhatTheWindowDidNotSeeIsNotJudged) {
  Wasteful wasteful;
  wasteful.reader.meta_rows = {{"option_window", "signal"}};
  wasteful.reader.window_rows = {{trace::WindowId{1}, trace::ProcessId{0}, 300, 950}};
  const std::vector<Finding> blind = wasteful.find();
  ASSERT_EQ(blind.size(), 1U);  // memory is recorded throughout
  EXPECT_EQ(blind.front().pattern, Pattern::kLeak);
  wasteful.reader.window_rows.front().begin_ns = 50;
  EXPECT_EQ(wasteful.find().size(), 6U);
}

TEST(Findings, WhatAProgramWithoutMemoryWouldHaveUsedNextNobodyKnows) {
  Wasteful wasteful;
  trace::OutOfMemory event;
  event.process = trace::ProcessId{1};
  event.time_ns = 850;
  wasteful.reader.out_of_memory_rows = {event};
  const std::vector<Finding> found = wasteful.find();
  EXPECT_FALSE(holds(found, Pattern::kLateDeallocation));
  EXPECT_FALSE(holds(found, Pattern::kUnused));
  EXPECT_TRUE(holds(found, Pattern::kEarlyAllocation));
}

TEST(Findings, WhatAKilledProgramHeldIsNoLeak) {
  Wasteful wasteful;
  wasteful.reader.process_rows.front().exit = 128 + 9;
  EXPECT_FALSE(holds(wasteful.find(), Pattern::kLeak));
}

TEST(Findings, LostUsesMakeNothingUnused) {
  Wasteful wasteful;
  wasteful.reader.loss_rows = {{"graph_kernels_without_access", trace::Severity::kInfo, 1}};
  const std::vector<Finding> found = wasteful.find();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().pattern, Pattern::kLeak);
}

TEST(Findings, NothingIsSaidWhereKernelsDoNotTellWhatTheyUse) {
  Wasteful wasteful;
  wasteful.reader.access_rows.clear();
  const std::vector<Finding> found = wasteful.find();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().pattern, Pattern::kLeak);
}

TEST(Findings, WhatIsNeededIsNotWaste) {
  Wasteful wasteful;
  std::erase_if(wasteful.reader.allocation_rows, [](const trace::Allocation& row) {
    const auto id = static_cast<int64_t>(row.id);
    return id <= 4 || id >= 8;
  });
  EXPECT_TRUE(wasteful.find().empty());
}

// Four blocks of 1000 bytes each, of which `leaked` are never freed.
std::vector<Finding> of_heap(int leaked, const trace::Frame& caller) {
  FakeReader reader;
  reader.end = 1000;
  trace::Process process;
  process.id = trace::ProcessId{1};
  process.end_ns = 1000;
  process.exit = 0;
  reader.process_rows = {process};
  trace::Frame main;
  main.function = "main";
  main.file = "main.cpp";
  main.line = 7;
  reader.stacks[StackId{1}] = {caller, main};
  for (int i = 0; i < 4; ++i) {
    trace::Allocation row;
    row.id = AllocationId{i + 1};
    row.process = process.id;
    row.layer = Layer::kHeap;
    row.size = 1000;
    row.alloc_ns = 100 + 200 * i;
    row.free_ns = i < leaked ? kNever : 900;
    row.alloc_stack = StackId{1};
    reader.allocation_rows.push_back(row);
  }
  const auto curves = usage_curves(reader);
  return *find_waste(reader, {}, *curves);
}

TEST(Findings, AHostLeakIsWhatTheProgramItselfForgetsAgainAndAgain) {
  trace::Frame own;
  own.function = "keep";
  own.file = "main.cpp";
  own.line = 3;
  const std::vector<Finding> found = of_heap(3, own);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().pattern, Pattern::kLeak);
  EXPECT_EQ(found.front().line, 3);
  EXPECT_EQ(found.front().bytes, 3000U);
  EXPECT_EQ(found.front().count, 3U);
  EXPECT_EQ(found.front().peak_without_bytes, 1000);
  EXPECT_TRUE(of_heap(2, own).empty());  // once or twice: held until the end
  trace::Frame driver;
  driver.function = "cuInit";
  driver.module = "/usr/lib/x86_64-linux-gnu/libcuda.so.1";
  EXPECT_TRUE(of_heap(4, driver).empty());
}

TEST(Findings, GrowthIsFoundWhereEachIterationLeavesMoreBehind) {
  FakeReader reader;
  Structure structure;
  constexpr int64_t length = 100;
  for (int i = 0; i < 5; ++i) {
    structure.iterations.push_back({i * length, (i + 1) * length, i == 0, i > 0});
    trace::Allocation row;
    row.id = AllocationId{i + 1};
    row.layer = Layer::kPool;
    row.space = Space::kDevice;
    row.device = 0;
    row.size = 500;
    row.alloc_ns = i * length + 10;
    reader.allocation_rows.push_back(row);
  }
  reader.end = 600;
  const auto curves = usage_curves(reader);
  auto found = find_waste(reader, structure, *curves);
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ(found->front().pattern, Pattern::kGrowth);
  EXPECT_EQ(found->front().bytes, 500U);
  EXPECT_EQ(found->front().count, 3U);  // that lived when the last iteration began
  EXPECT_EQ(found->front().peak_without_bytes, 500);

  for (trace::Allocation& row : reader.allocation_rows) row.free_ns = row.alloc_ns + 50;
  const auto even = usage_curves(reader);
  found = find_waste(reader, structure, *even);
  EXPECT_TRUE(found->empty());
}

}  // namespace
}  // namespace tidemark::analyzer
