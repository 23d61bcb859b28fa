// Waste planted by hand is found with its bytes; what is needed is not.
#include <gtest/gtest.h>

#include "fake_reader.h"
#include "tidemark/analyzer/findings.h"

namespace tidemark::analyzer {
namespace {

using tests::FakeReader;
using trace::AllocationId;
using trace::Layer;
using trace::Space;
using trace::StackId;

// The peak lies at 400, where all but the last block live.
class Wasteful {
 public:
  FakeReader reader;

  Wasteful() {
    reader.end = 1000;
    block(1, 100, 900);  // never used
    block(2, 100, 900);  // copied to, never read
    block(3, 100, 900);  // first used at 700
    block(4, 100, 900);  // last used at 200
    block(5, 100, 900);  // used all the time
    block(6, 400, 410);  // makes the peak; the device comes to it later
    block(7, 500, 520);  // by its use the device is past the peak
    trace::Transfer copy;
    copy.id = 1;
    copy.start_ns = 150;
    copy.dst_allocation = AllocationId{2};
    reader.transfer_rows = {copy};
    kernel(1, 200, {4, 5});
    kernel(2, 405, {5, 6});
    kernel(3, 510, {7});
    kernel(4, 700, {3, 5});
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
  ASSERT_EQ(found.size(), 4U);
  ASSERT_EQ(by_pattern.size(), 4U);
  const std::map<Pattern, int> lines = {{Pattern::kUnused, 1},
                                        {Pattern::kDeadWrite, 2},
                                        {Pattern::kEarlyAllocation, 3},
                                        {Pattern::kLateDeallocation, 4}};
  for (const auto& [pattern, line] : lines) {
    const Finding& finding = by_pattern.at(pattern);
    EXPECT_EQ(finding.line, line);
    EXPECT_EQ(finding.file, "wasteful.cu");
    EXPECT_EQ(finding.bytes, 1000U + static_cast<uint64_t>(line));
    EXPECT_EQ(finding.count, 1U);
    EXPECT_LT(finding.peak_without_bytes, finding.peak_bytes);
  }
  // Most bytes x time first: idle for 800 ns, not for 600.
  EXPECT_EQ(found.front().pattern, Pattern::kDeadWrite);
}

TEST(Findings, NothingIsSaidWhereKernelsDoNotTellWhatTheyUse) {
  Wasteful wasteful;
  wasteful.reader.access_rows.clear();
  EXPECT_TRUE(wasteful.find().empty());
}

TEST(Findings, WhatIsNeededIsNotWaste) {
  Wasteful wasteful;
  std::erase_if(wasteful.reader.allocation_rows,
                [](const trace::Allocation& row) { return static_cast<int64_t>(row.id) <= 4; });
  EXPECT_TRUE(wasteful.find().empty());
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
  EXPECT_EQ(found->front().count, 4U);
  EXPECT_EQ(found->front().peak_without_bytes, 500);

  for (trace::Allocation& row : reader.allocation_rows) row.free_ns = row.alloc_ns + 50;
  const auto even = usage_curves(reader);
  found = find_waste(reader, structure, *even);
  EXPECT_TRUE(found->empty());
}

}  // namespace
}  // namespace tidemark::analyzer
