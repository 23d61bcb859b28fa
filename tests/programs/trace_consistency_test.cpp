// The checker finds each fault that it is there to find. Traces are made with the real writer.
#include "trace_consistency.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tidemark/trace/writer.h"

namespace tidemark::testing {
namespace {

using trace::kNever;
using trace::Layer;

class TraceConsistency : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ =
        std::filesystem::temp_directory_path() / ("consistency" + std::to_string(getpid()) + ".db");
    auto writer = trace::Writer::create(path_);
    ASSERT_TRUE(writer) << writer.error().message;
    writer_ = std::move(*writer);
    first_ = process("first", trace::ProcessId{}, 0);
    second_ = process("second", first_, 10);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  trace::ProcessId process(const char* command, trace::ProcessId parent, int64_t start_ns) {
    trace::Process row;
    row.pid = 100;
    row.parent = parent;
    row.command = command;
    row.start_ns = start_ns;
    return writer_->add_process(row);
  }

  void block(trace::ProcessId process, uint64_t address, uint64_t size, int64_t alloc_ns,
             int64_t free_ns = kNever, Layer layer = Layer::kHeap) {
    trace::Allocation row;
    row.process = process;
    row.layer = layer;
    row.address = address;
    row.size = size;
    row.alloc_ns = alloc_ns;
    const auto id = writer_->add_allocation(row);
    if (free_ns != kNever) writer_->end_allocation(id, layer, free_ns, trace::StackId{});
  }

  nlohmann::json check() {
    const auto finished = writer_->finish();
    EXPECT_TRUE(finished);
    const auto reader = trace::Reader::open(path_);
    EXPECT_TRUE(reader);
    const auto answer = check_consistency(**reader);
    EXPECT_TRUE(answer);
    return *answer;
  }

  void expect_one_problem(const char* words) {
    const auto answer = check();
    EXPECT_EQ(answer["problems"], 1) << answer.dump(1);
    EXPECT_NE(answer["shown_problems"].dump().find(words), std::string::npos) << answer.dump(1);
  }

  std::string path_;
  std::unique_ptr<trace::Writer> writer_;
  trace::ProcessId first_{}, second_{};
};

TEST_F(TraceConsistency, a_life_as_it_should_be_has_no_problem) {
  block(first_, 0x1000, 64, 100, 200);
  block(first_, 0x1000, 32, 200, 300);                   // handed on within a nanosecond
  block(first_, 0x1020, 32, 200);                        // never freed
  block(first_, 0x1000, 4096, 100, kNever, Layer::kOs);  // layers hold each other
  block(second_, 0x1000, 64, 150, 250);                  // another address space
  block(first_, 0x2000, 64, 400, 400);                   // an undone unmapping
  block(first_, 0x2000, 0, 400, 500);
  const auto answer = check();
  EXPECT_EQ(answer["problems"], 0) << answer.dump(1);
  EXPECT_EQ(answer["allocations"], 7);
  EXPECT_EQ(answer["frees"], 5);
  EXPECT_EQ(answer["peak_bytes_by_process_and_layer"]["1"]["heap"], 64);
  EXPECT_EQ(answer["peak_bytes_by_process_and_layer"]["1"]["os"], 4096);
}

TEST_F(TraceConsistency, an_allocation_at_a_live_address) {
  block(first_, 0x1000, 64, 100, 300);
  block(first_, 0x1000, 64, 200, 400);
  expect_one_problem("lies in live");
}

TEST_F(TraceConsistency, an_allocation_that_reaches_into_a_live_one) {
  block(first_, 0x1000, 64, 100);
  block(first_, 0xff0, 17, 200);
  expect_one_problem("lies in live");
}

TEST_F(TraceConsistency, an_allocation_inside_a_live_one) {
  block(first_, 0x1000, 64, 100);
  block(first_, 0x1010, 1, 200);
  expect_one_problem("lies in live");
}

TEST_F(TraceConsistency, an_end_before_the_beginning) {
  block(first_, 0x1000, 64, 200, 100);
  const auto answer = check();
  EXPECT_EQ(answer["problems"], 2) << answer.dump(1);
  EXPECT_NE(answer["shown_problems"].dump().find("ends before it begins"), std::string::npos);
  EXPECT_NE(answer["shown_problems"].dump().find("below zero"), std::string::npos);
}

TEST_F(TraceConsistency, an_event_before_its_process) {
  block(second_, 0x1000, 64, 5, 100);
  expect_one_problem("outside the life of its process");
}

TEST_F(TraceConsistency, an_event_after_its_process) {
  block(second_, 0x1000, 64, 50, 100);
  writer_->end_process(second_, 99, 0);
  expect_one_problem("outside the life of its process");
}

TEST_F(TraceConsistency, a_child_older_than_its_parent) {
  process("third", second_, 9);
  expect_one_problem("older than its parent");
}

TEST_F(TraceConsistency, losses_are_given_back) {
  writer_->loss("allocations_at_live_address", trace::Severity::kDataLoss, 3);
  const auto answer = check();
  EXPECT_EQ(answer["losses"]["allocations_at_live_address"]["count"], 3);
  EXPECT_EQ(answer["losses"]["allocations_at_live_address"]["severity"], "data_loss");
}

}  // namespace
}  // namespace tidemark::testing
