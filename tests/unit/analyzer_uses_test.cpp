#include <gtest/gtest.h>

#include <map>
#include <random>

#include "fake_reader.h"
#include "tidemark/analyzer/render.h"
#include "tidemark/analyzer/report.h"
#include "tidemark/analyzer/uses.h"

namespace tidemark::analyzer {
namespace {

using trace::AllocationId;

trace::Kernel kernel(int64_t id, int64_t start_ns) {
  trace::Kernel row;
  row.id = id;
  row.start_ns = start_ns;
  row.end_ns = start_ns + 1;
  return row;
}
trace::Transfer copy(int64_t id, int64_t start_ns, int64_t from, int64_t to) {
  trace::Transfer row;
  row.id = id;
  row.start_ns = start_ns;
  row.src_allocation = AllocationId{from};
  row.dst_allocation = AllocationId{to};
  return row;
}

std::vector<Use> uses_of(const UseIndex& index, int64_t block) {
  std::vector<Use> uses;
  for (size_t i = 0; i < index.count(AllocationId{block}); ++i) {
    uses.push_back(index.use(AllocationId{block}, i));
  }
  return uses;
}

TEST(Uses, of_a_block_come_in_order_of_time_whatever_used_it) {
  tests::FakeReader reader;
  // The device tells of kernels late and of streams one by one: ids are not in order of time.
  reader.kernel_rows = {kernel(1, 50), kernel(2, 20), kernel(3, 30)};
  reader.access_rows = {{1, AllocationId{7}},
                        {1, AllocationId{9}},
                        {2, AllocationId{7}},
                        {3, AllocationId{8}},
                        {4, AllocationId{7}}};  // of a kernel that is not there
  reader.transfer_rows = {copy(1, 10, 0, 7), copy(2, 60, 7, 7)};
  trace::Memset set;
  set.id = 1;
  set.start_ns = 5;
  set.allocation = AllocationId{7};
  reader.memset_rows = {set};
  const auto index = UseIndex::build(reader);
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_EQ(uses_of(*index, 7), (std::vector<Use>{{5, UseKind::kSet, 1, 0},
                                                  {10, UseKind::kCopyTo, 1, 0},
                                                  {20, UseKind::kKernel, 2, 21},
                                                  {50, UseKind::kKernel, 1, 51},
                                                  {60, UseKind::kCopyFrom, 2, 0},
                                                  {60, UseKind::kCopyTo, 2, 0}}));
  EXPECT_EQ(index->first(AllocationId{7}).start_ns, 5);
  EXPECT_EQ(index->last(AllocationId{9}), (Use{50, UseKind::kKernel, 1, 51}));
  EXPECT_EQ(index->count(AllocationId{5}), 0U);
  EXPECT_EQ(index->uses(), 8U);
  std::vector<std::pair<int64_t, int64_t>> in_order;
  index->each([&](AllocationId block, const Use& use) {
    in_order.emplace_back(use.start_ns, static_cast<int64_t>(block));
  });
  EXPECT_EQ(in_order, (std::vector<std::pair<int64_t, int64_t>>{
                          {5, 7}, {10, 7}, {20, 7}, {30, 8}, {50, 7}, {50, 9}, {60, 7}, {60, 7}}));
}

TEST(Uses, agree_with_the_obvious_way) {
  std::mt19937_64 random(1);
  tests::FakeReader reader;
  std::map<int64_t, std::vector<Use>> expected;
  for (int64_t id = 1; id <= 3000; ++id) {
    reader.kernel_rows.push_back(kernel(id, 10 * id + static_cast<int64_t>(random() % 500)));
    for (uint64_t i = random() % 6; i > 0; --i) {
      const auto block = static_cast<int64_t>(1 + random() % 200);
      reader.access_rows.push_back({id, AllocationId{block}});
      const trace::Kernel& row = reader.kernel_rows.back();
      expected[block].push_back({row.start_ns, UseKind::kKernel, id, row.end_ns});
    }
  }
  const auto index = UseIndex::build(reader);
  ASSERT_TRUE(index) << index.error().message;
  ASSERT_EQ(index->blocks().size(), expected.size());
  for (auto& [block, uses] : expected) {
    std::sort(uses.begin(), uses.end(), [](const Use& a, const Use& b) {
      return std::tie(a.start_ns, a.id) < std::tie(b.start_ns, b.id);
    });
    EXPECT_EQ(uses_of(*index, block), uses);
  }
}

TEST(Uses, of_a_trace_without_any_are_none_and_a_failure_is_handed_on) {
  tests::FakeReader reader;
  const auto none = UseIndex::build(reader);
  ASSERT_TRUE(none);
  EXPECT_EQ(none->uses(), 0U);
  none->each([](AllocationId, const Use&) { FAIL(); });
  reader.error = "t.db is damaged";
  const auto failed = UseIndex::build(reader);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "t.db is damaged");
}

TEST(Uses, the_report_says_what_share_of_the_devices_memory_was_touched) {
  tests::FakeReader reader;
  const auto block = [&](trace::Layer layer, uint64_t address, uint64_t size) {
    trace::Allocation row;
    row.id = static_cast<AllocationId>(reader.allocation_rows.size() + 1);
    row.process = trace::ProcessId{1};
    row.layer = layer;
    row.space = trace::Space::kDevice;
    row.device = 0;
    row.address = address;
    row.size = size;
    row.alloc_ns = static_cast<int64_t>(reader.allocation_rows.size());
    reader.allocation_rows.push_back(row);
  };
  block(trace::Layer::kDriver, 0x1000, 4096);  // 1: a segment that a pool cuts up
  block(trace::Layer::kPool, 0x1000, 1000);    // 2
  block(trace::Layer::kPool, 0x1800, 500);     // 3
  block(trace::Layer::kDriver, 0x9000, 300);   // 4
  block(trace::Layer::kDriver, 0xa000, 200);   // 5
  reader.kernel_rows = {kernel(1, 50)};
  reader.access_rows = {{1, AllocationId{2}}};
  reader.transfer_rows = {copy(1, 10, 0, 5)};
  const auto report = build_report(reader, {});
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_TRUE(report->accesses);
  EXPECT_EQ(report->accesses->accesses, 1U);
  EXPECT_EQ(report->accesses->blocks, 4U);
  EXPECT_EQ(report->accesses->bytes, 2000U);
  EXPECT_EQ(report->accesses->touched_blocks, 2U);
  EXPECT_EQ(report->accesses->touched_bytes, 1200U);
  EXPECT_NE(info_text(*report).find("Accesses: 1 of blocks by kernels; 1.17 KiB of 1.95 KiB"),
            std::string::npos)
      << info_text(*report);
  EXPECT_NE(info_json(*report).find("\"touched_bytes\": 1200"), std::string::npos);
}

}  // namespace
}  // namespace tidemark::analyzer
