#include <gtest/gtest.h>

#include <random>

#include "collector_rings.h"

namespace tidemark::collector {
namespace {

using namespace fakes;
using trace::kNever;

using PairingTest = Rings;

TEST_F(PairingTest, an_allocation_and_its_free_in_another_thread_become_one_row) {
  auto& a = started();
  auto& b = thread(1, 10, 11);
  b.fake.publish(free_of(200, 0x1000));
  a.fake.publish(alloc(100, 0x1000, 64));
  drain(1000);
  ASSERT_EQ(writer.rows.size(), 1U);
  EXPECT_EQ(row(0).size, 64U);
  EXPECT_EQ(row(0).alloc_ns, 100);
  EXPECT_EQ(row(0).free_ns, 200);
  EXPECT_EQ(writer.text(row(0).api), "malloc");
  EXPECT_EQ(writer.threads.size(), 2U);
  EXPECT_TRUE(losses.all().empty());
}

TEST_F(PairingTest, what_is_stamped_after_the_pass_began_waits_for_its_cause) {
  auto& a = started();
  auto& b = thread(1, 10, 11);
  drain(0);
  b.fake.publish(free_of(200, 0x1000));  // its allocation is published, but after A was drained
  drain(150);
  EXPECT_TRUE(losses.all().empty());
  a.fake.publish(alloc(160, 0x1000, 64));
  drain(300);
  ASSERT_EQ(writer.rows.size(), 1U);
  EXPECT_EQ(row(0).free_ns, 200);
  EXPECT_TRUE(losses.all().empty());
}

TEST_F(PairingTest, a_stamp_that_stays_in_the_future_is_counted_and_does_not_stop_the_ring) {
  auto& a = started();
  a.fake.publish(alloc(UINT64_MAX, 0x1000, 64));
  a.fake.publish(alloc(100, 0x2000, 64));
  drain(200);
  EXPECT_EQ(writer.rows.size(), 0U);
  drain(300);
  EXPECT_EQ(writer.rows.size(), 2U);
  EXPECT_EQ(row(0).alloc_ns, 300);
  EXPECT_EQ(losses.count("impossible_times"), 1U);
}

// Law 1 of pairing.h over a scripted random program with its own books.
TEST_F(PairingTest, threads_that_share_addresses_pair_without_loss_whatever_the_pass_boundaries) {
  std::mt19937_64 random(7);
  started();
  for (int i = 1; i < 4; ++i) thread(1, 10, 10 + i);
  std::map<uint64_t, std::pair<size_t, uint64_t>> live;  // address -> row, size
  std::vector<std::pair<uint64_t, int64_t>> expected;    // size, free time
  uint64_t now = 1;
  uint64_t last_drained = 0;
  uint64_t live_bytes = 0;
  for (int step = 0; step < 20'000; ++step) {
    auto& on = threads[random() % threads.size()]->fake;
    const uint64_t address = 0x1000 + 16 * (random() % 50);
    const auto found = live.find(address);
    now += 1 + random() % 5;
    if (found == live.end()) {
      const uint64_t size = random() % 1000;
      on.publish(alloc(now, address, size));
      live[address] = {expected.size(), size};
      expected.emplace_back(size, kNever);
      live_bytes += size;
    } else {
      on.publish(free_of(now, address));
      if (random() % 10 == 0) {
        on.publish(undo(++now));  // realloc failed
      } else {
        expected[found->second.first].second = static_cast<int64_t>(now);
        live_bytes -= found->second.second;
        live.erase(found);
      }
    }
    if (random() % 37 == 0) {
      // The clock may be read before the latest stamps, never before those of the last pass.
      drain(std::max(last_drained, now - random() % 10));
      last_drained = now;
    }
  }
  drain(now + 10);
  ASSERT_EQ(writer.rows.size(), expected.size());
  uint64_t still = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(row(i).size, expected[i].first) << i;
    ASSERT_EQ(row(i).free_ns, expected[i].second) << i;
    if (row(i).free_ns == kNever) still += row(i).size;
  }
  EXPECT_EQ(still, live_bytes);
  EXPECT_TRUE(losses.all().empty());
  EXPECT_EQ(writer.misuse, 0);
}

TEST_F(PairingTest, an_undo_in_a_later_pass_revives_the_block) {
  auto& a = started();
  a.fake.publish(alloc(1, 0x1000, 64));
  a.fake.publish(free_of(2, 0x1000));
  drain(2);
  EXPECT_EQ(row(0).free_ns, 2);
  a.fake.publish(stack_record(9, {1}));
  a.fake.publish(undo(3));
  a.fake.publish(free_of(4, 0x1000));
  drain(10);
  EXPECT_EQ(row(0).free_ns, 4);
  EXPECT_TRUE(losses.all().empty());
}

TEST_F(PairingTest, an_undo_that_names_its_call_passes_over_host_frees_in_between) {
  auto& a = started();
  auto device = make<wire::DeviceAlloc>(wire::RecordType::kDeviceAlloc, 1, wire::Api::kCudaMalloc);
  device.address = 0x7000;
  device.size = 512;
  device.layer = wire::Layer::kDriver;
  device.space = wire::Space::kDevice;
  a.fake.publish(device);
  a.fake.publish(alloc(2, 0x1000, 8));
  auto freed = driver_free(3, 0x7000);
  freed.header.detail = static_cast<uint16_t>(wire::Api::kCudaFree);
  a.fake.publish(freed);
  a.fake.publish(free_of(4, 0x1000));
  auto undone = undo(5);
  undone.detail = static_cast<uint16_t>(wire::Api::kCudaFree);
  a.fake.publish(undone);
  drain(10);
  EXPECT_EQ(row(0).free_ns, kNever);
  EXPECT_EQ(row(1).free_ns, 4);
  EXPECT_EQ(writer.text(row(0).api), "cudaMalloc");
}

TEST_F(PairingTest, an_allocation_at_a_live_address_ends_the_old_row_and_is_counted) {
  auto& a = started();
  a.fake.publish(alloc(1, 0x1000, 64));
  a.fake.publish(alloc(2, 0x1000, 32));
  drain(10);
  drain(1'000'000);  // until its free cannot come any more
  EXPECT_EQ(row(0).free_ns, 2);
  EXPECT_EQ(row(1).free_ns, kNever);
  EXPECT_EQ(losses.count("allocations_at_live_address"), 1U);
}

TEST_F(PairingTest, a_mapping_unmapped_in_its_middle_ends_and_leaves_two_pieces) {
  auto& a = started();
  a.fake.publish(map(1, 0x10000, 0x4000));
  a.fake.publish(unmap(2, 0x11000, 0x1000));
  drain(10);
  ASSERT_EQ(writer.rows.size(), 3U);
  EXPECT_EQ(row(0).free_ns, 2);
  EXPECT_EQ(row(1).address, 0x10000U);
  EXPECT_EQ(row(1).size, 0x1000U);
  EXPECT_EQ(row(2).address, 0x12000U);
  EXPECT_EQ(row(2).size, 0x2000U);
  EXPECT_EQ(writer.text(row(2).api), "munmap");
  a.fake.publish(unmap(20, 0x0, 0x100000));
  drain(30);
  EXPECT_EQ(row(1).free_ns, 20);
  EXPECT_EQ(row(2).free_ns, 20);
}

TEST_F(PairingTest, an_unmap_that_failed_leaves_the_mapping_whole) {
  auto& a = started();
  a.fake.publish(map(1, 0x10000, 0x4000));
  a.fake.publish(unmap(2, 0x11000, 0x1000));
  a.fake.publish(undo(3));
  a.fake.publish(unmap(4, 0x10000, 0x4000));
  drain(10);
  EXPECT_EQ(row(0).free_ns, 4);
  EXPECT_EQ(row(1).alloc_ns, row(1).free_ns) << "pieces lived for no time";
  EXPECT_EQ(row(2).alloc_ns, row(2).free_ns);
  EXPECT_EQ(writer.misuse, 0);
}

TEST_F(PairingTest, a_fixed_mapping_replaces_what_it_covers) {
  auto& a = started();
  a.fake.publish(map(1, 0x10000, 0x2000));
  a.fake.publish(map(2, 0x11000, 0x2000));
  drain(10);
  ASSERT_EQ(writer.rows.size(), 3U);
  EXPECT_EQ(row(0).free_ns, 2);
  uint64_t live = 0;
  for (const auto& each : writer.rows) live += each.free_ns == kNever ? each.size : 0;
  EXPECT_EQ(live, 0x3000U);
}

TEST_F(PairingTest, the_requested_size_is_kept_and_the_whole_pages_are_unmapped) {
  auto& a = started();
  a.fake.publish(map(1, 0x10000, 100));
  a.fake.publish(unmap(2, 0x10000, 0x1000));
  drain(10);
  ASSERT_EQ(writer.rows.size(), 1U);
  EXPECT_EQ(row(0).size, 100U);
  EXPECT_EQ(row(0).free_ns, 2);
}

TEST_F(PairingTest, a_forked_child_frees_what_its_parent_allocated_without_touching_its_rows) {
  auto& parent = started(1, 10);
  parent.fake.publish(stack_record(77, {0x401001}));
  parent.fake.publish(alloc(1, 0x1000, 64, 77));
  auto& child = thread(2, 20, 20);
  child.fake.publish(process_start(5, 2, 20, 1, true));
  child.fake.publish(stack_record(77, {0x401001}));
  child.fake.publish(free_of(6, 0x1000));
  child.fake.publish(alloc(7, 0x1000, 32, 77));
  drain(10);
  drain(1'000'000);
  EXPECT_EQ(row(0).free_ns, kNever);
  EXPECT_EQ(losses.count("frees_of_inherited_memory"), 1U);
  EXPECT_EQ(losses.count("stacks_missing"), 0U);
  EXPECT_EQ(writer.processes.at(1).parent, trace::ProcessId{1});
  EXPECT_EQ(row(1).process, trace::ProcessId{2});
}

TEST_F(PairingTest, a_free_stamped_before_its_allocation_in_another_thread_still_ends_it) {
  auto& a = started();
  auto& b = thread(1, 10, 11);
  b.fake.publish(free_of(100, 0x1000));
  a.fake.publish(alloc(105, 0x1000, 64));
  drain(1000);
  ASSERT_EQ(writer.rows.size(), 1U);
  EXPECT_EQ(row(0).alloc_ns, 105);
  EXPECT_EQ(row(0).free_ns, 105);
  // The address is free again.
  a.fake.publish(alloc(2000, 0x1000, 32));
  drain(100'000);
  EXPECT_EQ(row(1).free_ns, kNever);
  EXPECT_TRUE(losses.all().empty());
}

// A forked child frees what it inherited, and another of its threads is given that address: in one
// pass, but too long after for the stamps to be in the wrong order.
TEST_F(PairingTest, an_inherited_block_and_a_later_one_at_its_address_are_two) {
  auto& a = started();
  auto& b = thread(1, 10, 11);
  b.fake.publish(free_of(100, 0x1000));
  a.fake.publish(alloc(101 + wire::kMaxEarlyNs, 0x1000, 64));
  drain(1'000'000);
  ASSERT_EQ(writer.rows.size(), 1U);
  EXPECT_EQ(row(0).free_ns, kNever);
  b.fake.publish(free_of(2'000'000, 0x1000));
  drain(3'000'000);
  EXPECT_EQ(row(0).free_ns, 2'000'000);
  EXPECT_EQ(losses.count("frees_of_unknown_memory"), 1U);
  EXPECT_EQ(pairing.counts().host_frees, 1U) << "as many as rows that have one";
}

TEST_F(PairingTest, a_free_long_after_two_blocks_overlapped_is_that_of_the_younger) {
  auto& a = started();
  auto& b = thread(1, 10, 11);
  a.fake.publish(alloc(10, 0x1000, 64));
  b.fake.publish(alloc(100, 0x1000, 32));
  a.fake.publish(free_of(101 + wire::kMaxEarlyNs, 0x1000));
  drain(1'000'000);
  EXPECT_EQ(row(0).free_ns, 100);
  EXPECT_EQ(row(1).free_ns, static_cast<int64_t>(101 + wire::kMaxEarlyNs));
  drain(2'000'000);
  EXPECT_EQ(losses.count("allocations_at_live_address"), 1U);
}

TEST_F(PairingTest,
       an_allocation_stamped_before_the_free_that_made_room_for_it_keeps_its_own_life) {
  auto& a = started();
  auto& b = thread(1, 10, 11);
  a.fake.publish(alloc(10, 0x1000, 64));
  b.fake.publish(alloc(100, 0x1000, 32));
  a.fake.publish(free_of(105, 0x1000));
  b.fake.publish(free_of(500, 0x1000));
  drain(1000);
  ASSERT_EQ(writer.rows.size(), 2U);
  EXPECT_EQ(row(0).free_ns, 100);
  EXPECT_EQ(row(1).alloc_ns, 100);
  EXPECT_EQ(row(1).free_ns, 500);
  drain(1'000'000);
  EXPECT_TRUE(losses.all().empty());
}

TEST_F(PairingTest, an_allocation_at_a_live_address_whose_free_never_comes_is_counted) {
  auto& a = started();
  auto& b = thread(1, 10, 11);
  a.fake.publish(alloc(10, 0x1000, 64));
  b.fake.publish(alloc(100, 0x1000, 32));
  b.fake.publish(free_of(200, 0x1000));  // by program order its own
  drain(1000);
  EXPECT_EQ(row(1).free_ns, 200);
  EXPECT_TRUE(losses.all().empty()) << "the free may still come";
  drain(1'000'000);
  EXPECT_EQ(row(0).free_ns, 100);
  EXPECT_EQ(losses.count("allocations_at_live_address"), 1U);
}

TEST_F(PairingTest, a_free_of_what_nobody_allocated_is_counted_once_its_allocation_cannot_come) {
  auto& a = started();
  a.fake.publish(free_of(10, 0x1000));
  a.fake.publish(alloc(11, 0x1000, 8));  // the same thread's: by program order not what it freed
  drain(20);
  EXPECT_TRUE(losses.all().empty());
  drain(1'000'000);
  EXPECT_EQ(losses.count("frees_of_unknown_memory"), 1U);
  EXPECT_EQ(row(0).free_ns, kNever);
}

TEST_F(PairingTest, stamps_within_the_margin_of_now_wait) {
  auto& a = started();
  a.fake.publish(alloc(990, 0x1000, 64));
  drain(1000, 20);
  EXPECT_TRUE(writer.rows.empty());
  drain(1005, 20);
  EXPECT_TRUE(writer.rows.empty()) << "held again, for passes may follow each other at once";
  drain(1010, 20);
  EXPECT_EQ(writer.rows.size(), 1U);
  EXPECT_TRUE(losses.all().empty());
}

// A path of the tree of stacks, outermost first.
std::vector<std::byte> path(wire::StackId caller, std::vector<uint64_t> words, bool from_root) {
  auto record = make<wire::Stack>(wire::RecordType::kStack, 0);
  record.caller = caller;
  record.id = caller;
  for (const uint64_t word : words) record.id = wire::stack_child(record.id, word);
  record.frame_count = static_cast<uint32_t>(words.size());
  record.flags = from_root ? wire::kStackFromRoot : 0;
  return with_tail(record, words.data(), words.size() * 8);
}

TEST_F(PairingTest, every_node_of_a_path_can_be_named_by_events_and_by_later_paths) {
  const wire::StackId root = wire::stack_root(0, true);
  const wire::StackId one = wire::stack_child(root, 1);
  const wire::StackId two = wire::stack_child(one, 2);
  const wire::StackId three = wire::stack_child(two, 3);
  const wire::StackId other = wire::stack_child(two, 4);
  auto& a = started();
  a.fake.publish(path(root, {1, 2, 3}, true));
  a.fake.publish(path(two, {4}, false));
  a.fake.publish(alloc(1, 0x1000, 64, three));
  a.fake.publish(alloc(2, 0x2000, 64, two));
  a.fake.publish(alloc(3, 0x3000, 64, other));
  a.fake.publish(alloc(4, 0x4000, 64, three));
  drain(10);
  using Words = std::vector<uint64_t>;
  EXPECT_EQ(writer.stacks, (std::vector<Words>{{3, 2, 1}, {2, 1}, {4, 2, 1}}))
      << "only what events name is a stack of the trace";
  EXPECT_EQ(row(3).alloc_stack, row(0).alloc_stack);
  EXPECT_TRUE(losses.all().empty());
}

TEST_F(PairingTest, a_path_waits_for_the_path_of_another_thread_that_it_goes_on_from) {
  const wire::StackId root = wire::stack_root(0, true);
  const wire::StackId one = wire::stack_child(root, 1);
  const wire::StackId three = wire::stack_child(wire::stack_child(one, 2), 3);
  auto& a = started();
  auto& b = thread(1, 10, 11);
  a.fake.publish(path(wire::stack_child(one, 2), {3}, false));
  a.fake.publish(path(one, {2}, false));
  a.fake.publish(alloc(5, 0x1000, 64, three));
  b.fake.publish(path(root, {1}, true));
  drain(10);
  EXPECT_EQ(writer.stacks, (std::vector<std::vector<uint64_t>>{{3, 2, 1}}));
  EXPECT_TRUE(losses.all().empty());
}

TEST_F(PairingTest, exec_ends_the_image_before_and_is_its_child) {
  auto& before = started(1, 10);
  before.fake.publish(alloc(1, 0x1000, 64));
  auto& after = thread(2, 10, 10);
  after.fake.publish(process_start(50, 2, 10));
  after.fake.publish(alloc(60, 0x1000, 32));
  drain(100);
  ASSERT_EQ(writer.processes.size(), 2U);
  EXPECT_EQ(writer.processes[0].end_ns, 50);
  EXPECT_EQ(writer.processes[1].parent, trace::ProcessId{1});
  EXPECT_EQ(losses.count("allocations_at_live_address"), 0U);
}

TEST_F(PairingTest, records_wait_for_their_process_to_introduce_itself) {
  auto& second = thread(1, 10, 11);
  second.fake.publish(alloc(5, 0x1000, 64, 3));
  second.fake.publish(stack_record(3, {1, 2}));
  drain(10);
  EXPECT_TRUE(writer.processes.empty());
  started();
  drain(20);
  ASSERT_EQ(writer.processes.size(), 1U);
  EXPECT_EQ(writer.processes[0].command, "a b");
  EXPECT_EQ(writer.rows.size(), 1U);
  EXPECT_EQ(writer.stacks.size(), 1U);
  EXPECT_TRUE(losses.all().empty());
}

TEST_F(PairingTest, an_event_waits_one_pass_for_its_stack_and_keeps_those_behind_it_in_order) {
  auto& a = started();
  auto& b = thread(1, 10, 11);
  a.fake.publish(alloc(5, 0x1000, 64, 42));
  b.fake.publish(free_of(6, 0x1000));
  drain(10);
  EXPECT_TRUE(writer.rows.empty());
  b.fake.publish(stack_record(42, {7, 8}));
  drain(20);
  ASSERT_EQ(writer.rows.size(), 1U);
  EXPECT_EQ(row(0).alloc_stack, trace::StackId{1});
  EXPECT_EQ(row(0).free_ns, 6);
  EXPECT_TRUE(losses.all().empty());
}

TEST_F(PairingTest, a_stack_that_never_comes_is_given_up_and_counted) {
  auto& a = started();
  a.fake.publish(alloc(5, 0x1000, 64, 42));
  drain(10);
  drain(1'000'000'000);
  ASSERT_EQ(writer.rows.size(), 1U);
  EXPECT_EQ(row(0).alloc_stack, trace::StackId{});
  EXPECT_EQ(losses.count("stacks_missing"), 1U);
}

// Two threads that meet new stacks at once, all day long: the waits that end well are not counted.
TEST_F(PairingTest, stacks_of_another_threads_ring_are_waited_for_as_often_as_it_takes) {
  auto& a = started();
  auto& b = thread(1, 10, 11);
  constexpr uint64_t kTimes = 200;
  uint64_t now_ns = 10;
  for (uint64_t i = 0; i < kTimes; ++i) {
    const wire::StackId stack = 1000 + i;
    a.fake.publish(alloc(now_ns + 1, 0x1000 + 64 * i, 64, stack));
    drain(now_ns + 2);
    b.fake.publish(stack_record(stack, {7, 8 + i}));
    drain(now_ns + 4);
    now_ns += 10;
  }
  ASSERT_EQ(writer.rows.size(), kTimes);
  for (const auto& each : writer.rows) EXPECT_NE(each.alloc_stack, trace::StackId{});
  EXPECT_TRUE(losses.all().empty());
}

wire::Launch launch(uint64_t time_ns, uint32_t correlation, wire::StackId stack = 0) {
  auto record = make<wire::Launch>(wire::RecordType::kLaunch, time_ns);
  record.correlation = correlation;
  record.stack = stack;
  record.src_address = 0xa;
  record.dst_address = 0xb;
  return record;
}
wire::Kernel kernel(uint64_t time_ns, uint32_t correlation, wire::NameId name) {
  auto record = make<wire::Kernel>(wire::RecordType::kKernel, time_ns);
  record.end_ns = time_ns + 5;
  record.correlation = correlation;
  record.name = name;
  return record;
}

TEST_F(PairingTest, kernels_of_one_graph_launch_share_its_stack_and_names_are_demangled) {
  auto& a = started();
  auto& worker = thread(1, 10, 11);
  a.fake.publish(stack_record(5, {0x10}));
  a.fake.publish(launch(10, 900, 5));
  worker.fake.publish(name_record(1, "_Z4axpyiPf"));
  worker.fake.publish(kernel(20, 900, 1));
  worker.fake.publish(kernel(30, 900, 1));
  drain(100);
  ASSERT_EQ(writer.kernels.size(), 2U);
  EXPECT_EQ(writer.kernels[1].stack, trace::StackId{1});
  EXPECT_EQ(writer.text(writer.kernels[0].name), "axpy(int, float*)");
  pairing.finish(false);
  EXPECT_EQ(losses.count("launches_without_activity"), 0U);
}

TEST_F(PairingTest, what_the_device_did_waits_a_pass_for_its_launch_and_is_never_dropped) {
  auto& a = started();
  auto copy = make<wire::Transfer>(wire::RecordType::kTransfer, 40);
  copy.correlation = 3;
  a.fake.publish(copy);
  a.fake.publish(kernel(50, 4, 0));
  drain(60);
  EXPECT_TRUE(writer.transfers.empty());
  a.fake.publish(launch(35, 3));
  a.fake.publish(launch(36, 5));
  drain(70);
  ASSERT_EQ(writer.transfers.size(), 1U);
  EXPECT_EQ(writer.transfers[0].src_address, 0xaU);
  ASSERT_EQ(writer.kernels.size(), 1U);
  EXPECT_EQ(losses.count("activity_without_launch"), 1U);
  pairing.finish(true);
  EXPECT_EQ(losses.count("launches_without_activity"), 1U);
}

TEST_F(PairingTest, pool_rows_name_the_allocator_and_driver_rows_the_library_that_asked) {
  auto& a = started();
  a.fake.publish(module_record(1, "/x/libtidemark_preload.so", 0, 0x1000, 0x2000));
  a.fake.publish(module_record(1, "/x/libc10.so", 0, 0x2000, 0x3000));
  a.fake.publish(module_record(1, "/x/libc10_cuda.so", 0, 0x3000, 0x4000));
  a.fake.publish(module_record(1, "/x/libcudart.so.12", 0, 0x4000, 0x5000));
  a.fake.publish(module_record(1, "/x/libcublas.so.12", 0, 0x5000, 0x6000));
  a.fake.publish(stack_record(1, {0x1100, 0x2100, 0x3100}));
  a.fake.publish(stack_record(2, {0x1100, 0x4100, 0x5100}));
  auto device = make<wire::DeviceAlloc>(wire::RecordType::kDeviceAlloc, 5, wire::Api::kC10);
  device.address = 0x7000;
  device.layer = wire::Layer::kPool;
  device.space = wire::Space::kDevice;
  device.stack = 1;
  device.pool_reserved = 100;
  a.fake.publish(device);
  device.address = 0x8000;
  a.fake.publish(device);
  device.layer = wire::Layer::kDriver;
  device.stack = 2;
  a.fake.publish(device);
  drain(10);
  EXPECT_EQ(writer.text(row(0).source), "libc10_cuda.so");
  EXPECT_EQ(writer.text(row(2).source), "libcublas.so.12");
  EXPECT_EQ(writer.reserved.size(), 1U) << "a sample only where it changed";
}

// A target may write anything: whatever it is, the pipeline neither crashes nor hangs nor reads
// where it may not (this test is for ASan), and healthy rings come through untouched.
TEST_F(PairingTest, garbage_in_one_ring_harms_no_other) {
  std::mt19937_64 random(11);
  auto& healthy = started();
  auto& mad = thread(1, 10, 666);
  const auto good = alloc(1, 64, 1);
  uint64_t expected = 0;
  for (int round = 0; round < 300; ++round) {
    const uint64_t now = 1000 + static_cast<uint64_t>(round) * 1000;
    for (int i = 0; i < 200; ++i) {
      switch (random() % 4) {
        case 0: {  // noise
          std::vector<std::byte> noise(8 * (1 + random() % 40));
          for (auto& byte : noise) byte = static_cast<std::byte>(random());
          mad.fake.publish(noise);
          break;
        }
        case 1: {  // a plausible header before noise
          std::vector<std::byte> record(16 + 8 * (random() % 12));
          for (auto& byte : record) byte = static_cast<std::byte>(random());
          const wire::Header header{static_cast<wire::RecordType>(random() % 34),
                                    static_cast<uint16_t>(random()),
                                    static_cast<uint32_t>(record.size()), random() % now};
          std::memcpy(record.data(), &header, sizeof header);
          mad.fake.publish(record);
          break;
        }
        case 2: {  // a valid record with one bit wrong
          auto bad = good;
          reinterpret_cast<unsigned char*>(&bad)[random() % sizeof bad] ^=
              static_cast<unsigned char>(1U << random() % 8);
          mad.fake.publish(bad);
          break;
        }
        default:
          mad.fake.publish(stack_record(random(), {random(), random()}));
      }
    }
    healthy.fake.publish(alloc(now - 1, 0x100000 + 16 * expected, 12345));
    ++expected;
    drain(now);
  }
  // Noise can look like a process that starts under the same pid, or like a stack that is missing:
  // the healthy ring may be late, not lossy.
  pairing.expect_no_more();
  drain(1'000'000);
  drain(1'000'001);
  uint64_t seen = 0;
  for (const auto& each : writer.rows) seen += each.size == 12345 ? 1 : 0;
  EXPECT_EQ(seen, expected);
  EXPECT_GT(losses.count("invalid_records"), 100U);
  EXPECT_EQ(writer.misuse, 0);
}

}  // namespace
}  // namespace tidemark::collector
