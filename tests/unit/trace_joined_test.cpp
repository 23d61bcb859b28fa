// A folder of traces, one for each host or rank of a job, read as one.
#include <gtest/gtest.h>

#include "trace_testing.h"

namespace tidemark::trace {
namespace {

// What one rank leaves: a block of the pool that a kernel was handed, and a sample of its card.
struct Rank {
  std::string host = "one";
  int32_t rank = 0;
  int64_t start_unix_ns = 1'000'000;
  int64_t start_monotonic_ns = 5'000;
  std::string bus = "0000:1b:00.0";
  uint64_t bytes = 512;
};

class JoinedTraces : public testing::Test {
 protected:
  void write(const std::string& name, const Rank& of) {
    auto made = Writer::create(folder_.file(name));
    ASSERT_TRUE(made) << made.error().message;
    Writer& writer = **made;
    writer.meta("hostname", of.host);
    writer.meta("start_unix_ns", std::to_string(of.start_unix_ns));
    writer.meta("start_monotonic_ns", std::to_string(of.start_monotonic_ns));
    writer.meta("cuda.device.0.pci_bus", of.bus);
    const ProcessId process = writer.add_process({{}, 42, {}, "train.py", 0, 900, 0, of.rank});
    const ThreadId thread = writer.add_thread(process, 43, "main");
    const StackId stack = writer.add_framed_stack(
        process, std::vector<Frame>{{FrameKind::kPython, "forward_" + name, "t.py", 7, "", false}});
    Allocation row{};
    row.process = process;
    row.thread = thread;
    row.layer = Layer::kPool;
    row.space = Space::kDevice;
    row.device = 0;
    row.size = of.bytes;
    row.alloc_ns = 100;
    row.alloc_stack = stack;
    row.api = writer.intern("c10");
    const AllocationId block = writer.add_allocation(row);
    writer.end_allocation(block, Layer::kPool, 200, {});
    const std::vector<AllocationId> handed = {block};
    writer.add_accesses(
        writer.add_kernel({0, process, 0, 7, writer.intern("gemm_" + name), 120, 130, 5, 0, stack}),
        handed);
    writer.add_device_memory({{}, writer.intern(of.bus), 150, of.bytes, 1 << 20});
    writer.loss("ring_full", Severity::kDataLoss, 2);
    ASSERT_TRUE(writer.finish());
  }
  std::unique_ptr<Reader> open() {
    auto reader = Reader::open(folder_.path().string());
    EXPECT_TRUE(reader) << reader.error().message;
    return reader ? std::move(*reader) : nullptr;
  }
  std::string error() {
    const auto reader = Reader::open(folder_.path().string());
    return reader ? "" : reader.error().message;
  }

  TestFolder folder_;
};

TEST_F(JoinedTraces, ranks_keep_their_processes_stacks_and_names_apart) {
  write("a.db", {});
  write("b.db", {"one", 1, 1'000'700, 5'700, "0000:3b:00.0", 1024});
  const auto reader = open();
  ASSERT_NE(reader, nullptr);
  ASSERT_EQ(reader->processes().size(), 2U);
  EXPECT_NE(reader->processes()[0].id, reader->processes()[1].id);
  EXPECT_EQ(reader->processes()[1].rank, 1);
  const auto blocks = all_allocations(*reader);
  ASSERT_EQ(blocks.size(), 2U);
  EXPECT_EQ(blocks[1].process, reader->processes()[1].id);
  EXPECT_EQ(reader->frames(blocks[0].alloc_stack)[0].function, "forward_a.db");
  EXPECT_EQ(reader->frames(blocks[1].alloc_stack)[0].function, "forward_b.db");
  EXPECT_EQ(reader->text(blocks[1].api), "c10");
  EXPECT_EQ(blocks[1].alloc_ns, 800);  // 700 ns later by the clock that both share
  EXPECT_EQ(reader->losses().at(0).count, 4U);
  std::vector<Kernel> kernels;
  ASSERT_TRUE(
      reader->kernels([&](auto rows) { kernels.insert(kernels.end(), rows.begin(), rows.end()); }));
  ASSERT_EQ(kernels.size(), 2U);
  EXPECT_EQ(reader->text(kernels[1].name), "gemm_b.db");
  std::vector<Access> of_second;
  AccessFilter filter;
  filter.first_kernel = kernels[1].id;
  ASSERT_TRUE(reader->accesses(
      filter, [&](auto rows) { of_second.insert(of_second.end(), rows.begin(), rows.end()); }));
  EXPECT_EQ(of_second, (std::vector<Access>{{kernels[1].id, blocks[1].id}}));
}

TEST_F(JoinedTraces, a_card_is_one_device_whatever_its_processes_call_it) {
  write("a.db", {});
  write("b.db", {"one", 1});  // the same card
  write("c.db", {"two", 2});  // of the same bus, elsewhere
  const auto reader = open();
  ASSERT_NE(reader, nullptr);
  const auto blocks = all_allocations(*reader);
  ASSERT_EQ(blocks.size(), 3U);
  EXPECT_EQ(blocks[0].device, 0);
  EXPECT_EQ(blocks[1].device, 0);
  EXPECT_EQ(blocks[2].device, 1);
  AllocationFilter filter;
  filter.device = int16_t{1};
  EXPECT_EQ(all_allocations(*reader, filter).size(), 1U);
  const auto samples = reader->device_memory();
  ASSERT_TRUE(samples);
  EXPECT_EQ((*samples)[0].bus, (*samples)[1].bus);
  EXPECT_EQ(reader->text((*samples)[2].bus), reader->meta("cuda.device.1.pci_bus"));
  EXPECT_NE((*samples)[0].bus, (*samples)[2].bus);
}

TEST_F(JoinedTraces, hosts_are_aligned_by_their_wall_clocks) {
  write("a.db", {"one", 0, 2'000'000, 5'000});
  write("b.db", {"two", 1, 1'999'000, 900'000'000'000});
  const auto reader = open();
  ASSERT_NE(reader, nullptr);
  const auto blocks = all_allocations(*reader);
  ASSERT_EQ(blocks.size(), 2U);
  EXPECT_EQ(blocks[0].alloc_ns, 1100);
  EXPECT_EQ(blocks[1].alloc_ns, 100);
  AllocationFilter early;
  early.end_ns = 1000;
  EXPECT_EQ(all_allocations(*reader, early).size(), 1U);
  EXPECT_EQ(reader->meta("joined_hosts"), "2");
}

TEST_F(JoinedTraces, a_query_is_asked_of_each_trace) {
  write("a.db", {});
  write("b.db", {"one", 1, 1'000'700, 5'700, "0000:3b:00.0", 1024});
  const auto reader = open();
  ASSERT_NE(reader, nullptr);
  EXPECT_EQ(ask(*reader, "select size from allocation"),
            (std::vector<std::string>{"a|512", "b|1024"}));
}

TEST_F(JoinedTraces, what_does_not_belong_together_is_refused) {
  EXPECT_NE(error().find("a folder without a trace"), std::string::npos) << error();
  write("a.db", {});
  EXPECT_EQ(error(), "");  // one alone is that trace
  write("b.db", {});
  EXPECT_NE(error().find("a and b both hold rank 0"), std::string::npos) << error();
  write("b.db", {"one", -1});
  EXPECT_NE(error().find("b holds no rank"), std::string::npos) << error();
  write("b.db", {"one", 1});
  EXPECT_EQ(error(), "");
  write_bytes(folder_.file("c.db"), "no trace");
  EXPECT_NE(error().find("c.db"), std::string::npos) << error();
}

}  // namespace
}  // namespace tidemark::trace
