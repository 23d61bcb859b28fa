// The report model over events made by hand, and what its two faces promise.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fake_reader.h"
#include "tidemark/analyzer/render.h"
#include "tidemark/analyzer/report.h"

namespace tidemark::analyzer {
namespace {

using tests::FakeReader;
using trace::Layer;
using trace::ProcessId;
using trace::Space;
using trace::StackId;
using Json = nlohmann::json;

constexpr int32_t kUnknownExit = std::numeric_limits<int32_t>::min();

trace::Process process(int id, int parent, int64_t start_ns, int64_t end_ns, int32_t exit) {
  trace::Process row;
  row.id = static_cast<ProcessId>(id);
  row.pid = 1000 + id;
  row.parent = static_cast<ProcessId>(parent);
  row.command = "program" + std::to_string(id);
  row.start_ns = start_ns;
  row.end_ns = end_ns;
  row.exit = exit;
  return row;
}

trace::Allocation block(Layer layer, Space space, int16_t device, uint64_t size, int64_t alloc_ns,
                        int64_t free_ns = trace::kNever) {
  trace::Allocation row;
  row.process = static_cast<ProcessId>(1);
  row.layer = layer;
  row.space = space;
  row.device = device;
  row.size = size;
  row.alloc_ns = alloc_ns;
  row.free_ns = free_ns;
  return row;
}

trace::Allocation heap(uint64_t size, int64_t alloc_ns, int64_t free_ns = trace::kNever) {
  return block(Layer::kHeap, Space::kHost, trace::kNoDevice, size, alloc_ns, free_ns);
}

FakeReader cpu_trace() {
  FakeReader reader;
  reader.end = 1000;
  reader.process_rows = {process(1, 0, 0, 900, 0)};
  reader.allocation_rows = {heap(100, 10, 50), heap(300, 20, 60), heap(50, 30)};
  for (auto& row : reader.allocation_rows) {
    row.api = reader.intern("malloc");
    row.alloc_stack = static_cast<StackId>(row.size);
  }
  trace::Frame frame;
  frame.function = "load_batch(int)";
  frame.file = "/src/u/train.cpp";
  frame.line = 12;
  frame.module = "/src/u/app";
  reader.stacks[static_cast<StackId>(300)] = {frame};
  return reader;
}

Report report_of(const FakeReader& reader, const ReportOptions& options = {}) {
  auto report = build_report(reader, options);
  EXPECT_TRUE(report) << report.error().message;
  return std::move(*report);
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Report, says_who_was_live_at_the_peak_and_what_leaked) {
  const Report report = report_of(cpu_trace());
  ASSERT_EQ(report.series.size(), 1U);
  const SeriesReport& line = report.series[0];
  EXPECT_EQ(line.peak_bytes, 450);
  EXPECT_EQ(line.peak_ns, 30);
  EXPECT_EQ(line.frees, 2U);
  EXPECT_EQ(line.unfreed_bytes, 50U);
  EXPECT_EQ(line.at_peak.bytes, 450U);
  EXPECT_EQ(line.at_peak.groups, 3U);
  EXPECT_EQ(line.at_peak.top[0].bytes, 300U);
  EXPECT_EQ(line.leaked.bytes, 50U);
  const std::string text = report_text(report);
  EXPECT_TRUE(contains(text, "> load_batch")) << text;
  EXPECT_TRUE(contains(text, "/src/u/train.cpp:12")) << text;
  EXPECT_TRUE(contains(text, "66.7 %")) << text;
}

TEST(Report, what_is_not_shown_is_summed_so_that_shares_add_up) {
  ReportOptions options;
  options.stacks = 1;
  const std::string text = report_text(report_of(cpu_trace(), options));
  EXPECT_TRUE(contains(text, "33.3 %      150 B  2 more stacks")) << text;
}

TEST(Report, a_trace_without_a_gpu_has_no_device_parts) {
  const Report report = report_of(cpu_trace());
  EXPECT_FALSE(report.has_device());
  const std::string text = report_text(report) + info_text(report);
  for (const char* word : {"ernel", "Copies", "pool", "device", "OUT OF"}) {
    EXPECT_FALSE(contains(text, word)) << word << " in\n" << text;
  }
  const Json json = Json::parse(report_json(report));
  EXPECT_FALSE(json.contains("kernels"));
  EXPECT_FALSE(json["events"].contains("kernel"));
}

TEST(Report, says_why_the_gpu_is_missing) {
  FakeReader reader = cpu_trace();
  reader.loss_rows = {{"cupti_subscriber_taken", trace::Severity::kError, 1}};
  EXPECT_TRUE(contains(report_text(report_of(reader)), "another tool"));
  reader.loss_rows = {{"cupti_unavailable", trace::Severity::kError, 1}};
  EXPECT_TRUE(contains(report_text(report_of(reader)), "no CUPTI library"));
  reader.loss_rows.clear();
  EXPECT_FALSE(contains(report_text(report_of(reader)), "! "));
}

TEST(Report, losses_are_always_there_and_the_worst_come_first) {
  FakeReader reader = cpu_trace();
  EXPECT_TRUE(contains(report_text(report_of(reader)), "Losses: none"));
  reader.loss_rows = {{"a_info", trace::Severity::kInfo, 9},
                      {"b_none", trace::Severity::kError, 0},
                      {"c_lost", trace::Severity::kDataLoss, 1},
                      {"d_error", trace::Severity::kError, 1}};
  const Report report = report_of(reader);
  ASSERT_EQ(report.losses.size(), 3U);
  EXPECT_EQ(report.losses[0].name, "d_error");
  EXPECT_EQ(report.losses[1].name, "c_lost");
  EXPECT_TRUE(report.lost_data());
  for (const std::string& text : {report_text(report), info_text(report)}) {
    for (const char* name : {"a_info", "c_lost", "d_error", "see 'losses'"}) {
      EXPECT_TRUE(contains(text, name)) << name;
    }
  }
}

TEST(Report, an_unfinished_trace_says_so_and_its_processes_still_run) {
  FakeReader reader = cpu_trace();
  reader.is_finished = false;
  reader.process_rows[0].end_ns = trace::kNever;
  reader.process_rows[0].exit = kUnknownExit;
  const Report report = report_of(reader);
  const std::string text = report_text(report);
  EXPECT_TRUE(contains(text, "unfinished"));
  EXPECT_TRUE(contains(text, "end not seen"));
  EXPECT_EQ(report.series[0].leaked.count, 0U);
}

TEST(Report, processes_form_a_tree_and_each_comes_once_even_in_a_damaged_one) {
  FakeReader reader;
  reader.process_rows = {process(1, 0, 0, 90, 0),   process(2, 1, 30, 80, 139),
                         process(3, 1, 20, 80, 1),  process(4, 2, 40, 80, kUnknownExit),
                         process(5, 6, 50, 80, 0),  process(6, 5, 60, 80, 0),
                         process(7, 99, 70, 80, 0), process(8, 8, 75, 80, 0)};
  const Report report = report_of(reader);
  std::vector<std::pair<int, size_t>> order;
  for (const ProcessLine& line : report.processes) {
    order.emplace_back(static_cast<int>(line.process.id), line.depth);
  }
  EXPECT_EQ(order, (std::vector<std::pair<int, size_t>>{
                       {1, 0}, {3, 1}, {2, 1}, {4, 2}, {7, 0}, {5, 0}, {6, 1}, {8, 0}}));
  const std::string text = info_text(report);
  EXPECT_TRUE(contains(text, "exit 139 (SIGSEGV)")) << text;
  EXPECT_TRUE(contains(text, "how 1 of 8 processes ended is not known")) << text;
}

FakeReader gpu_trace() {
  FakeReader reader = cpu_trace();
  reader.allocation_rows.push_back(block(Layer::kPool, Space::kDevice, 0, 700, 100, 200));
  reader.reserved_rows = {{static_cast<ProcessId>(1), 0, 100, 1000},
                          {static_cast<ProcessId>(2), 0, 150, 500},
                          {static_cast<ProcessId>(1), 0, 160, 400},
                          {static_cast<ProcessId>(3), 0, 950, 1200}};
  trace::Transfer copy;
  copy.kind = trace::TransferKind::kHtoD;
  copy.src_space = Space::kHost;
  copy.dst_space = Space::kDevice;
  copy.bytes = 4000;
  copy.start_ns = 10;
  copy.end_ns = 1010;
  reader.transfer_rows = {copy, copy};
  copy.src_space = Space::kPinned;
  reader.transfer_rows.push_back(copy);
  trace::Kernel kernel;
  kernel.name = reader.intern("void gemm<float>(float*)");
  kernel.start_ns = 100;
  kernel.end_ns = 200;
  reader.kernel_rows = {kernel, kernel};
  kernel.name = reader.intern("relu");
  kernel.end_ns = 600;
  reader.kernel_rows.push_back(kernel);
  return reader;
}

TEST(Report, copies_are_told_apart_by_pageable_and_pinned) {
  const Report report = report_of(gpu_trace());
  ASSERT_EQ(report.transfers.size(), 2U);
  EXPECT_EQ(report.transfers[0].count, 2U);
  EXPECT_EQ(report.transfers[0].bytes, 8000U);
  EXPECT_EQ(report.transfers[0].time_ns, 2000);
  const std::string text = report_text(report);
  EXPECT_TRUE(contains(text, "pageable")) << text;
  EXPECT_TRUE(contains(text, "4.00 GB/s")) << text;
}

TEST(Report, kernels_come_by_time) {
  ReportOptions options;
  options.kernel_names = 1;
  const Report report = report_of(gpu_trace(), options);
  ASSERT_TRUE(report.kernels);
  EXPECT_EQ(report.kernels->count, 3U);
  EXPECT_EQ(report.kernels->names, 2U);
  EXPECT_EQ(report.kernels->time_ns, 700);
  ASSERT_EQ(report.kernels->top.size(), 1U);
  EXPECT_EQ(report.kernels->top[0].name, "relu");
}

TEST(Report, what_pools_reserve_is_summed_over_processes_that_live) {
  const Report report = report_of(gpu_trace());
  ASSERT_EQ(report.pools.size(), 1U);
  EXPECT_EQ(report.pools[0].peak_allocated_bytes, 700);
  // The first process has ended at 900 and holds nothing at 950; the second still holds 500.
  EXPECT_EQ(report.pools[0].peak_reserved_bytes, 1700);
  EXPECT_EQ(report.pools[0].peak_reserved_ns, 950);
}

TEST(Report, times_that_cannot_be_do_not_overflow) {
  FakeReader reader = gpu_trace();
  reader.kernel_rows[0].start_ns = std::numeric_limits<int64_t>::min();
  reader.kernel_rows[0].end_ns = std::numeric_limits<int64_t>::max();
  reader.kernel_rows[1].end_ns = 0;
  const Report report = report_of(reader);
  EXPECT_EQ(report.kernels->time_ns, std::numeric_limits<int64_t>::max());
}

TEST(Report, out_of_memory_comes_before_everything_else) {
  FakeReader reader = gpu_trace();
  trace::OutOfMemory event;
  event.device = 0;
  event.time_ns = 500;
  event.requested_bytes = uint64_t{2} << 30;
  event.allocated_bytes = 1024;
  event.reserved_bytes = 2048;
  event.stack = static_cast<StackId>(300);
  reader.out_of_memory_rows = {event};
  const std::string text = report_text(report_of(reader));
  EXPECT_TRUE(contains(text, "2.00 GiB asked for on device:0; the pool held 2.00 KiB")) << text;
  EXPECT_LT(text.find("OUT OF MEMORY"), text.find("Processes"));
}

TEST(Report, json_has_the_stable_keys_and_its_categories_add_up) {
  const Json json = Json::parse(report_json(report_of(gpu_trace())));
  for (const Json& space : json["spaces"]) {
    int64_t sum = 0;
    for (const Json& category : space["categories"]) sum += category["bytes"].get<int64_t>();
    EXPECT_EQ(sum, space["peak_bytes"].get<int64_t>());
    EXPECT_TRUE(space["peak_at_ns"].is_number());
  }
  EXPECT_EQ(json["spaces"][1]["space"], "device:0");
  EXPECT_EQ(json["spaces"][1]["layer"], "pool");

  const Json info = Json::parse(info_json(report_of(gpu_trace())));
  EXPECT_EQ(info["events"]["allocation"], 4);
  EXPECT_EQ(info["events"]["kernel"], 3);
  EXPECT_EQ(info["events"]["transfer"], 3);
  EXPECT_EQ(info["peaks"][0],
            (Json{{"space", "host"}, {"layer", "heap"}, {"bytes", 450}, {"at_ns", 30}}));
  EXPECT_TRUE(info["losses"].is_array());
}

TEST(Report, names_of_a_trace_reach_neither_the_terminal_nor_json_unchecked) {
  FakeReader reader = gpu_trace();
  reader.process_rows[0].command = "\x1b]0;title\x07 \xff";
  reader.strings[static_cast<size_t>(reader.kernel_rows[0].name)] = "\x1b[2Jkernel\xff";
  reader.loss_rows = {{"\x1b[0m", trace::Severity::kInfo, 1}};
  const Report report = report_of(reader);
  for (const std::string& text : {report_text(report), info_text(report)}) {
    EXPECT_EQ(text.find('\x1b'), std::string::npos) << text;
    EXPECT_EQ(text.find('\xff'), std::string::npos);
  }
  EXPECT_FALSE(Json::parse(report_json(report)).is_discarded());
}

TEST(Report, every_line_fits_in_a_hundred_columns) {
  FakeReader reader = gpu_trace();
  reader.process_rows[0].command = std::string(500, 'x');
  trace::Frame frame;
  frame.function = std::string(300, 'f');
  frame.file = "/" + std::string(300, 'd') + "/x.cpp";
  reader.stacks[static_cast<StackId>(300)] = std::vector<trace::Frame>(20, frame);
  reader.strings[static_cast<size_t>(reader.kernel_rows[0].name)] = std::string(400, 'k');
  reader.loss_rows = {{"cupti_subscriber_taken", trace::Severity::kError, 1}};
  const std::string text = report_text(report_of(reader));
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    size_t columns = 0;
    for (size_t i = at; i < end; ++i) columns += (static_cast<uint8_t>(text[i]) & 0xc0) != 0x80;
    EXPECT_LE(columns, 100U) << text.substr(at, end - at);
    at = end + 1;
  }
}

TEST(Report, a_reading_error_is_passed_on) {
  FakeReader reader = gpu_trace();
  reader.error = "damaged chunk";
  EXPECT_EQ(build_report(reader, {}).error().message, "damaged chunk");
}

}  // namespace
}  // namespace tidemark::analyzer
