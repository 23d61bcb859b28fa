// Ranks beside each other.
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

struct Ranks : testing::Test {
  Ranks() { reader.end = 1000; }
  void process(int id, int32_t rank) {
    trace::Process row;
    row.id = static_cast<ProcessId>(id);
    row.pid = 100 + id;
    row.command = "python3 train.py";
    row.end_ns = 900;
    row.exit = 0;
    row.rank = rank;
    reader.process_rows.push_back(row);
  }
  trace::Allocation& block(int process, Layer layer, int16_t device, uint64_t mib, int64_t alloc_ns,
                           int64_t free_ns) {
    trace::Allocation row;
    row.process = static_cast<ProcessId>(process);
    row.layer = layer;
    row.space = Space::kDevice;
    row.device = device;
    row.size = mib * kMiB;
    row.alloc_ns = alloc_ns;
    row.free_ns = free_ns;
    reader.allocation_rows.push_back(row);
    return reader.allocation_rows.back();
  }
  Report built() const {
    auto report = build_report(reader, {});
    EXPECT_TRUE(report);
    return std::move(*report);
  }

  tests::FakeReader reader;
};

TEST_F(Ranks, each_has_its_own_peaks_over_all_its_processes) {
  process(1, -1);  // the launcher
  process(2, 0);
  process(3, 1);
  process(4, 1);  // a worker of rank 1
  block(2, Layer::kPool, 0, 10, 10, 20);
  block(2, Layer::kPool, 0, 30, 20, 30);  // when the other has gone
  block(3, Layer::kPool, 1, 10, 10, trace::kNever);
  block(4, Layer::kPool, 1, 50, 15, 16);
  block(3, Layer::kDriver, 1, 64, 5, trace::kNever);
  block(3, Layer::kDriver, 1, 8, 6, trace::kNever).source = reader.intern("libnccl.so.2");
  block(1, Layer::kDriver, 0, 99, 5, trace::kNever);
  const Report report = built();
  ASSERT_EQ(report.ranks.size(), 2U);
  EXPECT_EQ(report.ranks[0].rank, 0);
  EXPECT_EQ(report.ranks[0].processes, 1U);
  EXPECT_EQ(report.ranks[0].pool_bytes, 30 * kMiB);
  EXPECT_EQ(report.ranks[0].driver_bytes, 0U);
  EXPECT_EQ(report.ranks[1].processes, 2U);
  EXPECT_EQ(report.ranks[1].pool_bytes, 60 * kMiB);
  EXPECT_EQ(report.ranks[1].driver_bytes, 72 * kMiB);
  EXPECT_EQ(report.ranks[1].communicator_bytes, 8 * kMiB);
  EXPECT_EQ(report.ranks[1].devices, std::vector<int16_t>{1});
  const std::string text = report_text(report);
  EXPECT_NE(text.find("\nRanks: "), std::string::npos);
  EXPECT_NE(text.find("1.33×"), std::string::npos);  // 60 MiB to a mean of 45
  EXPECT_NE(text.find("2.00×"), std::string::npos);
  EXPECT_EQ(text.find("pinned"), std::string::npos);  // nobody took any
}

TEST_F(Ranks, one_alone_has_nobody_to_be_compared_to) {
  process(1, 0);
  process(2, 0);
  EXPECT_TRUE(built().ranks.empty());
  EXPECT_EQ(report_text(built()).find("Ranks"), std::string::npos);
}

TEST_F(Ranks, a_window_of_iterations_says_how_many_there_were) {
  reader.meta_rows = {{"option_window", "iterations:10:20"}, {"window_iterations", "7"}};
  EXPECT_NE(built().remarks.at(0).find("which never opened in 7 iterations: 0 kernels"),
            std::string::npos)
      << built().remarks.at(0);
  reader.meta_rows[1].second = "1";
  EXPECT_NE(built().remarks.at(0).find("no backward pass of PyTorch"), std::string::npos);
  reader.meta_rows[1].second = "30";
  reader.window_rows = {{trace::WindowId{1}, trace::ProcessId{1}, 10, 20}};
  EXPECT_NE(built().remarks.at(0).find("which was open once in 30 iterations"), std::string::npos);
}

TEST_F(Ranks, a_window_says_what_it_left_out) {
  reader.meta_rows = {{"option_window", "10s:30s"}};
  reader.window_rows = {{trace::WindowId{1}, {}, 10, 20}};
  reader.loss_rows = {{"kernels_outside_window", trace::Severity::kInfo, 1234}};
  const Report report = built();
  ASSERT_TRUE(report.window);
  EXPECT_EQ(report.window->kernels_outside, 1234U);
  ASSERT_FALSE(report.remarks.empty());
  EXPECT_NE(report.remarks[0].find("--window=10s:30s"), std::string::npos);
  EXPECT_NE(report.remarks[0].find("1,234 kernels"), std::string::npos);
  reader.meta_rows = {{"option_window", "whole"}};
  EXPECT_FALSE(built().window);
}

}  // namespace
}  // namespace tidemark::analyzer
