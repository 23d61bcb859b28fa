// What a report says of the moment at which memory ran out.
#include <gtest/gtest.h>

#include "fake_reader.h"
#include "sizes.h"
#include "tidemark/analyzer/render.h"
#include "tidemark/analyzer/report.h"

namespace tidemark::analyzer {
namespace {

using trace::Layer;
using trace::ProcessId;
using trace::Space;

constexpr uint64_t kSegment = 0x700000000;
constexpr ProcessId kTrainer{1};

struct OutOfMemoryReport : testing::Test {
  OutOfMemoryReport() {
    reader.end = 1000;
    trace::OutOfMemory event;
    event.process = kTrainer;
    event.device = 0;
    event.layer = Layer::kPool;
    event.time_ns = 100;
    event.requested_bytes = 40 * kMiB;
    event.allocated_bytes = 40 * kMiB;
    event.reserved_bytes = 100 * kMiB;
    reader.out_of_memory_rows = {event};
  }
  trace::Allocation& block(Layer layer, uint64_t begin_mib, uint64_t mib, int64_t free_ns,
                           ProcessId process = kTrainer) {
    trace::Allocation row;
    row.process = process;
    row.layer = layer;
    row.space = Space::kDevice;
    row.device = 0;
    row.address = kSegment + begin_mib * kMiB;
    row.size = mib * kMiB;
    row.alloc_ns = 10;
    row.free_ns = free_ns;
    row.api = reader.intern(layer == Layer::kPool ? "c10" : "cudaMalloc");
    reader.allocation_rows.push_back(row);
    return reader.allocation_rows.back();
  }
  OutOfMemoryLine line() const {
    auto report = build_report(reader, {});
    EXPECT_TRUE(report);
    return report->out_of_memory.at(0);
  }

  tests::FakeReader reader;
};

TEST_F(OutOfMemoryReport, finds_the_largest_hole_and_what_lived) {
  block(Layer::kDriver, 0, 60, trace::kNever);
  block(Layer::kDriver, 1000, 40, trace::kNever);
  block(Layer::kDriver, 2000, 500,
        trace::kNever);  // no block of the pool lies in it: not the pool's
  block(Layer::kPool, 0, 10, trace::kNever);
  block(Layer::kPool, 10, 5, 100);                           // given back at that very moment
  block(Layer::kPool, 35, 10, 101);                          // 25 MiB before it, 15 behind
  block(Layer::kPool, 1010, 20, trace::kNever);              // 10 MiB on each side
  block(Layer::kPool, 12, 20, trace::kNever, ProcessId{2});  // of another address space
  const OutOfMemoryLine out = line();
  EXPECT_EQ(out.largest_hole_bytes, 25 * kMiB);
  EXPECT_EQ(out.live.bytes, 40 * kMiB);
  EXPECT_EQ(out.live.count, 3U);
  EXPECT_FALSE(out.device_free_bytes);
  const auto report = build_report(reader, {});
  const std::string text = report_text(*report);
  EXPECT_NE(text.find("the pool's 60.0 MiB not in use lie in pieces of at most 25.0 MiB: in one "
                      "piece they would have been enough"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("live in the pool then: 40.0 MiB in 3 blocks"), std::string::npos) << text;
}

TEST_F(OutOfMemoryReport, memory_that_is_mapped_in_pieces_has_no_holes_to_tell) {
  block(Layer::kDriver, 0, 60, trace::kNever).api = reader.intern("cuMemCreate");
  block(Layer::kPool, 0, 10, trace::kNever);
  EXPECT_FALSE(line().largest_hole_bytes);
}

TEST_F(OutOfMemoryReport, what_the_driver_had_left_is_of_the_last_look_before) {
  reader.meta_rows = {{"cuda.device.0.pci_bus", "0000:AF:00.0"}};
  const trace::StringId bus = reader.intern("0000:af:00.0");
  reader.device_memory_rows = {{{}, bus, 50, 900 * kMiB, 1000 * kMiB},
                               {kTrainer, bus, 50, 800 * kMiB, 0},
                               {{}, bus, 90, 970 * kMiB, 1000 * kMiB},
                               {{}, bus, 110, 100 * kMiB, 1000 * kMiB}};
  EXPECT_EQ(line().device_free_bytes, 30 * kMiB);
}

TEST_F(OutOfMemoryReport, a_pool_that_nobody_saw_leaves_the_event_alone) {
  const OutOfMemoryLine out = line();
  EXPECT_FALSE(out.largest_hole_bytes);
  EXPECT_TRUE(out.live.top.empty());
}

// cudaMalloc of a program without a framework.
TEST_F(OutOfMemoryReport, what_the_driver_refused_opens_the_report_with_all_that_it_had_given) {
  trace::OutOfMemory& event = reader.out_of_memory_rows[0];
  event.layer = Layer::kDriver;
  event.allocated_bytes = event.reserved_bytes = 0;
  event.stack = trace::StackId{1};
  trace::Frame caller;
  caller.function = "grow()";
  caller.file = "grow.cu";
  caller.line = 12;
  reader.stacks[event.stack] = {caller};
  reader.meta_rows = {{"cuda.device.0.pci_bus", "0000:AF:00.0"}};
  reader.device_memory_rows = {{{}, reader.intern("0000:af:00.0"), 90, 970 * kMiB, 1000 * kMiB}};
  block(Layer::kDriver, 0, 60, trace::kNever);
  block(Layer::kDriver, 100, 40, 100);  // given back before
  const auto report = build_report(reader, {});
  ASSERT_TRUE(report);
  const std::string text = report_text(*report);
  const size_t opening = text.find("OUT OF MEMORY: 1 time");
  ASSERT_NE(opening, std::string::npos) << text;
  EXPECT_LT(opening, text.find("Memory by layer and space"));
  for (const char* said : {"40.0 MiB asked for of the driver on device:0",
                           "30.0 MiB free on the device, which has 1000 MiB", "grow.cu:12",
                           "live on the device then: 60.0 MiB in 1 block"}) {
    EXPECT_NE(text.find(said), std::string::npos) << said << " is not in\n" << text;
  }
}

TEST_F(OutOfMemoryReport, what_was_refused_to_a_pool_is_no_end_of_the_program) {
  reader.out_of_memory_rows.push_back(reader.out_of_memory_rows[0]);
  trace::OutOfMemory& refused = reader.out_of_memory_rows[0];
  refused.layer = Layer::kDriver;
  refused.stack = trace::StackId{1};
  trace::Frame frame;
  frame.module = "/x/torch/lib/libc10_cuda.so";
  reader.stacks[refused.stack] = {frame};
  const auto report = build_report(reader, {});
  ASSERT_TRUE(report);
  ASSERT_EQ(report->out_of_memory.size(), 1U);
  EXPECT_EQ(report->out_of_memory[0].event.layer, Layer::kPool);
  EXPECT_NE(report_text(*report).find("refused memory to the framework's pool 1 time;"),
            std::string::npos);
}

}  // namespace
}  // namespace tidemark::analyzer
