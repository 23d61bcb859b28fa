// The same bytes copied again, to the host and back, into two blocks; and what may be other bytes.
#include <gtest/gtest.h>

#include <algorithm>

#include "fake_reader.h"
#include "sizes.h"
#include "tidemark/analyzer/findings.h"

namespace tidemark::analyzer {
namespace {

using tests::FakeReader;
using trace::AllocationId;
using trace::Space;
using trace::StackId;
using trace::TransferKind;

constexpr int64_t kUs = 1000;
// A host writes a mebibyte in 42 us at 25 bytes a nanosecond.
constexpr int64_t kTooSoon = 40 * kUs;
constexpr int64_t kLongEnough = 50 * kUs;
constexpr uint64_t kTable = 0x10000000;

class Copies {
 public:
  FakeReader reader;

  Copies() {
    trace::Frame frame;
    frame.function = "look_up";
    frame.file = "loop.cu";
    frame.line = 12;
    reader.stacks[StackId{1}] = {frame};
    frame.function = "make";
    frame.line = 30;
    reader.stacks[StackId{2}] = {frame};
  }
  // Of a mebibyte, `after_ns` after the one before; takes 20 us.
  void copy(TransferKind kind, uint64_t host, int block, int64_t after_ns) {
    trace::Transfer row;
    row.id = static_cast<int64_t>(reader.transfer_rows.size()) + 1;
    row.device = 0;
    row.kind = kind;
    row.bytes = kMiB;
    const bool to_device = kind == TransferKind::kHtoD;
    const uint64_t device = 0x7000000000 + static_cast<uint64_t>(block) * 4 * kMiB;
    row.src_space = to_device ? Space::kPinned : Space::kDevice;
    row.dst_space = to_device ? Space::kDevice : Space::kPinned;
    row.src_address = to_device ? host : device;
    row.dst_address = to_device ? device : host;
    (to_device ? row.dst_allocation : row.src_allocation) = AllocationId{block};
    row.start_ns = now_ + after_ns;
    row.end_ns = now_ = row.start_ns + 20 * kUs;
    row.stack = StackId{1};
    reader.transfer_rows.push_back(row);
    reader.end = now_ + 1;
  }
  void block(int id, uint64_t size) {
    trace::Allocation row;
    row.id = AllocationId{id};
    row.layer = trace::Layer::kDriver;
    row.space = Space::kDevice;
    row.device = 0;
    row.size = size;
    row.alloc_ns = 1;
    row.free_ns = 1000 * kUs;
    row.alloc_stack = StackId{2};
    reader.allocation_rows.push_back(row);
  }
  std::vector<Finding> find(Pattern pattern) const {
    const auto curves = usage_curves(reader);
    auto found = find_waste(reader, {}, *curves);
    EXPECT_TRUE(found.has_value());
    std::erase_if(*found, [&](const Finding& one) { return one.pattern != pattern; });
    return *found;
  }

 private:
  int64_t now_ = 0;
};

TEST(SameBytes, CopiedAgainBeforeTheHostCouldWriteOthers) {
  Copies copies;
  for (int i = 0; i < 6; ++i) copies.copy(TransferKind::kHtoD, kTable, 1, kTooSoon);
  const auto found = copies.find(Pattern::kRepeatedCopies);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].count, 5U);
  EXPECT_EQ(found[0].bytes, 5 * kMiB);
  EXPECT_NEAR(found[0].seconds, 5 * 20e-6, 1e-12);
  EXPECT_EQ(found[0].line, 12);
}

TEST(SameBytes, ABufferThatTheHostHadTimeToFillAnewIsNotTheSame) {
  Copies copies;
  for (int i = 0; i < 6; ++i) copies.copy(TransferKind::kHtoD, kTable, 1, kLongEnough);
  EXPECT_TRUE(copies.find(Pattern::kRepeatedCopies).empty());
}

TEST(SameBytes, OtherPlacesOfTheHostHoldOtherBytes) {
  Copies copies;
  for (uint64_t i = 0; i < 6; ++i) {
    copies.copy(TransferKind::kHtoD, kTable + i * kMiB, 1, kTooSoon);
  }
  EXPECT_TRUE(copies.find(Pattern::kRepeatedCopies).empty());
}

TEST(SameBytes, WhatTheDeviceWroteToTheHostInBetweenIsNew) {
  Copies copies;
  for (int i = 0; i < 6; ++i) {
    copies.copy(TransferKind::kHtoD, kTable, 1, 0);
    copies.copy(TransferKind::kDtoH, kTable, 2, 0);
  }
  EXPECT_TRUE(copies.find(Pattern::kRepeatedCopies).empty());
}

TEST(SameBytes, ToTheHostAndBackIsARoundTrip) {
  Copies copies;
  for (int i = 0; i < 5; ++i) {
    copies.copy(TransferKind::kDtoH, kTable, 1, kLongEnough);
    copies.copy(TransferKind::kHtoD, kTable, 1, kTooSoon);
  }
  const auto found = copies.find(Pattern::kRoundTrips);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].count, 5U);
  EXPECT_NEAR(found[0].seconds, 5 * 40e-6, 1e-12);
  Copies worked_on;
  for (int i = 0; i < 5; ++i) {
    worked_on.copy(TransferKind::kDtoH, kTable, 1, 0);
    worked_on.copy(TransferKind::kHtoD, kTable, 1, kLongEnough);
  }
  EXPECT_TRUE(worked_on.find(Pattern::kRoundTrips).empty());
}

TEST(SameBytes, TwoBlocksFilledWithThemAreDuplicates) {
  Copies copies;
  copies.block(1, kMiB);
  copies.block(2, kMiB);
  copies.copy(TransferKind::kHtoD, kTable, 1, 0);
  copies.copy(TransferKind::kHtoD, kTable, 2, kTooSoon);
  const auto found = copies.find(Pattern::kDuplicate);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].bytes, kMiB);
  EXPECT_EQ(found[0].line, 30);
  EXPECT_EQ(found[0].peak_bytes, static_cast<int64_t>(2 * kMiB));
  EXPECT_EQ(found[0].peak_without_bytes, static_cast<int64_t>(kMiB));
}

TEST(SameBytes, BlocksOfOtherSizesOrFilledLaterAreNone) {
  Copies sizes;
  sizes.block(1, kMiB);
  sizes.block(2, 2 * kMiB);
  sizes.copy(TransferKind::kHtoD, kTable, 1, 0);
  sizes.copy(TransferKind::kHtoD, kTable, 2, kTooSoon);
  EXPECT_TRUE(sizes.find(Pattern::kDuplicate).empty());
  Copies later;
  later.block(1, kMiB);
  later.block(2, kMiB);
  later.copy(TransferKind::kHtoD, kTable, 1, 0);
  later.copy(TransferKind::kHtoD, kTable, 2, kLongEnough);
  EXPECT_TRUE(later.find(Pattern::kDuplicate).empty());
}

// A process of 100 MiB, of which malloc holds 40 MiB in a piece at 4 GiB.
class Resident {
 public:
  FakeReader reader;
  static constexpr uint64_t kHeap = uint64_t{1} << 32;

  Resident() {
    trace::Process process;
    process.id = trace::ProcessId{1};
    process.end_ns = 1000;
    process.exit = 0;
    reader.process_rows = {process};
    reader.end = 1000;
    trace::ProcessMemory sample;
    sample.process = process.id;
    sample.time_ns = 500;
    sample.rss_bytes = static_cast<int64_t>(100 * kMiB);
    reader.memory_rows = {sample};
    map(trace::MappingKind::kHeap, kHeap, 40 * kMiB);
    map(trace::MappingKind::kFile, 2 * kHeap, 60 * kMiB);
  }
  void map(trace::MappingKind kind, uint64_t start, uint64_t bytes) {
    trace::Mapping row;
    row.process = trace::ProcessId{1};
    row.time_ns = 500;
    row.start = start;
    row.mapped_bytes = bytes;
    row.resident_bytes = bytes;
    row.kind = kind;
    reader.mapping_rows.push_back(row);
  }
  void block(int line, uint64_t offset, uint64_t bytes, int64_t free_ns) {
    trace::Allocation row;
    row.id = AllocationId{static_cast<int64_t>(reader.allocation_rows.size()) + 1};
    row.process = trace::ProcessId{1};
    row.layer = trace::Layer::kHeap;
    row.address = kHeap + offset;
    row.size = bytes;
    row.alloc_ns = 100;
    row.free_ns = free_ns;
    row.alloc_stack = StackId{line};
    trace::Frame frame;
    frame.function = "build";
    frame.file = "index.cpp";
    frame.line = line;
    reader.stacks[row.alloc_stack] = {frame};
    reader.allocation_rows.push_back(row);
  }
  std::vector<Finding> find() const {
    const auto uses = process_memory(reader, MemoryDepth::kWithBlocks);
    EXPECT_TRUE(uses.has_value());
    std::vector<Finding> findings;
    EXPECT_TRUE(find_resident_waste(reader, *uses, findings).has_value());
    return findings;
  }
};

TEST(Resident, WhatMallocKeepsIsBlamedOnThoseWhoHadItLast) {
  Resident process;
  process.block(7, 0, 10 * kMiB, trace::kNever);
  process.block(8, 10 * kMiB, 20 * kMiB, 300);
  process.block(9, 10 * kMiB, 5 * kMiB, 400);  // where a part of the former had been
  const auto found = process.find();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].pattern, Pattern::kHostSpare);
  EXPECT_EQ(found[0].bytes, 30 * kMiB);
  EXPECT_EQ(found[0].line, 8);
  EXPECT_EQ(found[0].peak_bytes, static_cast<int64_t>(100 * kMiB));
  EXPECT_EQ(found[0].peak_without_bytes, static_cast<int64_t>(70 * kMiB));
  EXPECT_NEAR(found[0].byte_seconds, 30.0 * kMiB * 700e-9, 1);
}

TEST(Resident, ALittleThatMallocKeepsIsUsual) {
  Resident process;
  process.block(7, 0, 33 * kMiB, trace::kNever);
  EXPECT_TRUE(process.find().empty());
}

TEST(Resident, WhatNoCallAskedForIsUnexplained) {
  Resident process;
  process.block(7, 0, 40 * kMiB, trace::kNever);
  process.map(trace::MappingKind::kAnonymous, 3 * Resident::kHeap, 20 * kMiB);
  const auto found = process.find();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].pattern, Pattern::kUnexplained);
  EXPECT_EQ(found[0].bytes, 20 * kMiB);
  process.reader.meta_rows = {{"option_host", "off"}};
  EXPECT_TRUE(process.find().empty());
  process.reader.meta_rows = {{"attached", "1"}};
  EXPECT_TRUE(process.find().empty());
}

}  // namespace
}  // namespace tidemark::analyzer
