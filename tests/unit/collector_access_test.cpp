// Words among the arguments of kernels become accesses of the blocks that lived at them.
#include <gtest/gtest.h>

#include "collector_rings.h"

namespace tidemark::collector {
namespace {

using namespace fakes;
using trace::Access;
using trace::AllocationId;

constexpr uint64_t kSegment = 0x7f4000000000;

struct AccessTest : Rings {
  static wire::DeviceAlloc block(uint64_t time_ns, wire::Layer layer, uint64_t address,
                                 uint64_t size, wire::Api api) {
    auto record = make<wire::DeviceAlloc>(wire::RecordType::kDeviceAlloc, time_ns, api);
    record.address = address;
    record.size = size;
    record.layer = layer;
    record.space = wire::Space::kDevice;
    return record;
  }
  static wire::DeviceAlloc driver(uint64_t time_ns, uint64_t address, uint64_t size,
                                  wire::Api api = wire::Api::kCudaMalloc) {
    return block(time_ns, wire::Layer::kDriver, address, size, api);
  }
  static wire::DeviceAlloc pool(uint64_t time_ns, uint64_t address, uint64_t size) {
    return block(time_ns, wire::Layer::kPool, address, size, wire::Api::kC10);
  }
  static wire::Free pool_free(uint64_t time_ns, uint64_t address) {
    auto record = make<wire::Free>(wire::RecordType::kFree, time_ns, wire::Api::kC10);
    record.address = address;
    record.layer = wire::Layer::kPool;
    return record;
  }
  static wire::Launch launch(uint64_t time_ns, uint32_t correlation) {
    auto record = make<wire::Launch>(wire::RecordType::kLaunch, time_ns);
    record.correlation = correlation;
    return record;
  }
  static std::vector<std::byte> touch(uint64_t time_ns, uint32_t correlation,
                                      const std::vector<uint64_t>& words) {
    auto record = make<wire::Touch>(wire::RecordType::kTouch, time_ns);
    record.correlation = correlation;
    record.word_count = static_cast<uint32_t>(words.size());
    return with_tail(record, words.data(), words.size() * 8);
  }
  static wire::Kernel kernel(uint64_t time_ns, uint32_t correlation, uint32_t graph = 0) {
    auto record = make<wire::Kernel>(wire::RecordType::kKernel, time_ns);
    record.end_ns = time_ns + 1;
    record.correlation = correlation;
    record.graph = graph;
    return record;
  }
  void launched(Thread& thread, uint64_t time_ns, uint32_t correlation,
                const std::vector<uint64_t>& words) {
    thread.fake.publish(launch(time_ns, correlation));
    thread.fake.publish(touch(time_ns, correlation, words));
  }
};

TEST_F(AccessTest, a_word_means_the_innermost_block_that_holds_it) {
  auto& a = started();
  a.fake.publish(driver(1, kSegment, 1 << 20));    // row 1
  a.fake.publish(pool(2, kSegment, 512));          // row 2
  a.fake.publish(pool(3, kSegment + 1024, 4096));  // row 3
  launched(a, 5, 7,
           {kSegment, kSegment + 511, kSegment + 512, kSegment + 1024 + 100, kSegment + (1 << 20)});
  a.fake.publish(kernel(20, 7));
  drain(100);
  ASSERT_EQ(writer.kernels.size(), 1U);
  // 511 is in the first block too; 512 is in none, but in the segment; the last is behind it.
  EXPECT_EQ(
      writer.accesses,
      (std::vector<Access>{{1, AllocationId{2}}, {1, AllocationId{1}}, {1, AllocationId{3}}}));
  EXPECT_EQ(pairing.counts().accesses, 3U);
}

TEST_F(AccessTest, what_lived_when_the_kernel_was_launched_counts_not_when_it_ran) {
  auto& a = started();
  auto& worker = thread(1, 10, 11);
  a.fake.publish(pool(1, kSegment, 512));  // row 1
  launched(a, 5, 7, {kSegment});
  a.fake.publish(pool_free(6, kSegment));
  a.fake.publish(pool(7, kSegment, 256));  // row 2: the allocator gives it out again at once
  launched(a, 8, 8, {kSegment});
  a.fake.publish(pool_free(9, kSegment));
  launched(a, 10, 9, {kSegment});  // nobody's
  drain(100);
  for (const uint32_t correlation : {7, 8, 9}) {
    worker.fake.publish(kernel(100 + correlation, correlation));
  }
  drain(200);
  EXPECT_EQ(writer.accesses, (std::vector<Access>{{1, AllocationId{1}}, {2, AllocationId{2}}}));
}

TEST_F(AccessTest, a_block_of_another_thread_is_found_by_time) {
  auto& a = started();
  auto& b = thread(1, 10, 11);
  // The launching thread's ring is drained first, but its launch is later than the allocation.
  launched(a, 50, 7, {kSegment + 8});
  b.fake.publish(pool(40, kSegment, 512));
  b.fake.publish(pool_free(60, kSegment));
  a.fake.publish(kernel(70, 7));
  drain(100);
  EXPECT_EQ(writer.accesses, (std::vector<Access>{{1, AllocationId{1}}}));
}

TEST_F(AccessTest, several_records_of_one_launch_add_up_and_a_block_counts_once) {
  auto& a = started();
  a.fake.publish(pool(1, kSegment, 512));
  a.fake.publish(pool(2, kSegment + 512, 512));
  a.fake.publish(launch(5, 7));
  a.fake.publish(touch(5, 7, {kSegment, kSegment + 8}));
  a.fake.publish(touch(6, 7, {kSegment + 16, kSegment + 600}));
  a.fake.publish(kernel(20, 7));
  drain(100);
  EXPECT_EQ(writer.accesses, (std::vector<Access>{{1, AllocationId{1}}, {1, AllocationId{2}}}));
}

TEST_F(AccessTest, handles_are_no_addresses) {
  auto& a = started();
  a.fake.publish(driver(1, kSegment, 1 << 20, wire::Api::kCuMemCreate));
  a.fake.publish(driver(2, kSegment + 4096, 1 << 20, wire::Api::kCudaMallocArray));
  launched(a, 5, 7, {kSegment, kSegment + 8192});
  a.fake.publish(kernel(20, 7));
  drain(100);
  EXPECT_TRUE(writer.accesses.empty());
}

TEST_F(AccessTest, a_free_that_failed_leaves_the_block_to_be_found) {
  auto& a = started();
  a.fake.publish(driver(1, kSegment, 4096));
  a.fake.publish(driver_free(2, kSegment));
  wire::Header failed = undo(3);
  failed.detail = static_cast<uint16_t>(wire::Api::kCudaFree);
  a.fake.publish(failed);
  launched(a, 5, 7, {kSegment + 4095});
  a.fake.publish(kernel(20, 7));
  drain(100);
  EXPECT_EQ(writer.accesses, (std::vector<Access>{{1, AllocationId{1}}}));
}

TEST_F(AccessTest, accesses_whose_kernel_never_comes_are_counted) {
  auto& a = started();
  a.fake.publish(pool(1, kSegment, 512));
  launched(a, 5, 7, {kSegment});
  launched(a, 6, 8, {kSegment});
  a.fake.publish(kernel(20, 8));
  a.fake.publish(touch(30, 99, {kSegment}));
  drain(100);
  pairing.finish(false);
  EXPECT_EQ(losses.count("accesses_without_kernel"), 1U);
  EXPECT_EQ(losses.count("accesses_without_launch"), 1U);
}

TEST_F(AccessTest, kernels_of_graphs_without_access_are_counted_only_where_accesses_are_told) {
  auto& a = started();
  a.fake.publish(launch(5, 7));
  a.fake.publish(kernel(20, 7, 3));
  drain(100);
  EXPECT_EQ(losses.count("graph_kernels_without_access"), 0U) << "--access=off";
  a.fake.publish(pool(110, kSegment, 512));
  launched(a, 115, 8, {kSegment});
  a.fake.publish(launch(116, 9));
  a.fake.publish(kernel(120, 9, 3));
  a.fake.publish(kernel(121, 9, 3));
  drain(200);
  EXPECT_EQ(losses.count("graph_kernels_without_access"), 2U);
}

TEST_F(AccessTest, kernels_of_a_graph_are_handed_what_their_nodes_were_made_with) {
  auto& a = started();
  auto& worker = thread(1, 10, 11);
  const auto node = [](uint64_t time_ns, uint64_t id, uint64_t source, uint32_t correlation) {
    auto record = make<wire::GraphNode>(wire::RecordType::kGraphNode, time_ns);
    record.node = id;
    record.source = source;
    record.correlation = correlation;
    return record;
  };
  a.fake.publish(pool(1, kSegment, 512));        // row 1
  a.fake.publish(pool(2, kSegment + 512, 512));  // row 2
  launched(a, 5, 7, {kSegment, kSegment + 512});
  a.fake.publish(node(6, 11, 0, 7));
  a.fake.publish(launch(7, 8));  // a kernel that is handed nothing
  a.fake.publish(node(8, 12, 0, 8));
  a.fake.publish(node(9, 13, 99, 0));  // copied from no kernel
  a.fake.publish(node(10, 21, 11, 0));
  a.fake.publish(node(11, 22, 12, 0));
  a.fake.publish(pool_free(12, kSegment));  // when the capture ends; the graph goes on using it
  a.fake.publish(launch(20, 9));
  a.fake.publish(launch(30, 10));
  for (const uint32_t correlation : {9, 10}) {
    for (const uint64_t of : {21, 22, 13}) {
      auto run = kernel(100 + correlation, correlation, 3);
      run.graph_node = of;
      worker.fake.publish(run);
    }
  }
  drain(200);
  EXPECT_EQ(
      writer.accesses,
      (std::vector<Access>{
          {1, AllocationId{1}}, {1, AllocationId{2}}, {4, AllocationId{1}}, {4, AllocationId{2}}}));
  EXPECT_EQ(losses.count("graph_kernels_without_access"), 2U) << "the copy of an unknown node";
  pairing.finish(false);
  EXPECT_EQ(losses.count("launches_without_activity"), 0U);
  EXPECT_EQ(losses.count("accesses_without_kernel"), 0U);
}

TEST_F(AccessTest, mapped_memory_is_the_allocation_that_it_is) {
  auto& a = started();
  a.fake.publish(driver(1, 0x500, 2 << 20, wire::Api::kCuMemCreate));  // row 1, a handle
  a.fake.publish(driver(2, 0x501, 2 << 20, wire::Api::kCuMemCreate));  // row 2
  auto map = make<wire::DeviceMap>(wire::RecordType::kDeviceMap, 3);
  map.address = kSegment;
  map.size = 2 << 20;
  map.allocation = 0x500;
  a.fake.publish(map);
  map.address += 2 << 20;
  map.allocation = 0x501;
  a.fake.publish(map);
  map.address += 2 << 20;
  map.allocation = 0x777;  // nobody knows it
  a.fake.publish(map);
  a.fake.publish(pool(4, kSegment + 4096, 4096));  // row 3
  launched(a, 5, 7, {kSegment, kSegment + 4096, kSegment + (3 << 20), kSegment + (5 << 20)});
  auto unmap = make<wire::DeviceMap>(wire::RecordType::kDeviceUnmap, 6);
  unmap.address = kSegment;
  unmap.size = 4 << 20;
  a.fake.publish(unmap);
  launched(a, 7, 8, {kSegment, kSegment + (3 << 20)});
  a.fake.publish(kernel(20, 7));
  a.fake.publish(kernel(21, 8));
  drain(100);
  EXPECT_EQ(
      writer.accesses,
      (std::vector<Access>{{1, AllocationId{1}}, {1, AllocationId{3}}, {1, AllocationId{2}}}));
}

TEST_F(AccessTest, the_oldest_nodes_of_graphs_are_forgotten) {
  GraphNodes nodes;
  for (uint64_t id = 1; id <= GraphNodes::kCapacity + 1; ++id) nodes.add(id, {});
  EXPECT_EQ(nodes.find(1), nullptr);
  ASSERT_NE(nodes.find(2), nullptr);
  nodes.copy(1, 2);
  EXPECT_EQ(nodes.find(2), nullptr) << "its copy took its place";
  EXPECT_NE(nodes.find(1), nullptr);
}

TEST_F(AccessTest, records_that_a_target_has_scribbled_are_refused) {
  auto& a = started();
  std::vector<std::byte> none = touch(5, 7, {});
  a.fake.publish(none);
  drain(100);
  EXPECT_EQ(losses.count("invalid_records"), 1U);
}

TEST_F(AccessTest, a_range_whose_end_was_missed_does_not_hide_a_later_one) {
  LiveRanges ranges;
  ranges.add(1000, 1000, AllocationId{1});
  ranges.add(1500, 100, AllocationId{2});
  EXPECT_EQ(ranges.at(1499), AllocationId{1});
  EXPECT_EQ(ranges.at(1500), AllocationId{2});
  EXPECT_EQ(ranges.at(999), AllocationId{});
  EXPECT_EQ(ranges.at(2000), AllocationId{});
  EXPECT_EQ(ranges.remove(1500), 100U);
  EXPECT_EQ(ranges.remove(1500), 0U);
  EXPECT_EQ(ranges.at(1500), AllocationId{1});
  ranges.add(1000, 10, AllocationId{3});
  EXPECT_EQ(ranges.at(1010), AllocationId{});
  EXPECT_EQ(ranges.at(~uint64_t{0}), AllocationId{});
}

}  // namespace
}  // namespace tidemark::collector
