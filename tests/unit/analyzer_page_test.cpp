// What a page is made of: usage over time, the rows of a peak, and the file itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "fake_reader.h"
#include "sizes.h"
#include "tidemark/analyzer/render.h"

namespace tidemark::analyzer {
namespace {

using Json = nlohmann::json;
using tests::FakeReader;
using trace::Layer;
using trace::Space;

trace::Allocation device_block(uint64_t size, int64_t alloc_ns, int64_t free_ns, int64_t stack) {
  trace::Allocation row;
  row.process = static_cast<trace::ProcessId>(1);
  row.layer = Layer::kDriver;
  row.space = Space::kDevice;
  row.device = 0;
  row.address = static_cast<uint64_t>(alloc_ns) << 20;
  row.size = size;
  row.alloc_ns = alloc_ns;
  row.free_ns = free_ns;
  row.alloc_stack = static_cast<trace::StackId>(stack);
  return row;
}

trace::Frame frame(const std::string& function, int32_t line) {
  trace::Frame made;
  made.function = function;
  made.file = "/src/u/train.cpp";
  made.line = line;
  made.module = "/src/u/app";
  return made;
}

// Blocks of many sizes, lifetimes and stacks; the seed is fixed.
FakeReader busy_trace(size_t blocks) {
  FakeReader reader;
  std::mt19937_64 random(7);
  std::vector<trace::Allocation> rows;
  for (size_t i = 0; i < blocks; ++i) {
    const auto begin = static_cast<int64_t>(10 + random() % 100'000);
    const auto length = static_cast<int64_t>(1 + random() % 5'000);
    rows.push_back(device_block(1 + random() % 1'000'000, begin, begin + length,
                                static_cast<int64_t>(1 + random() % 40)));
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.alloc_ns < b.alloc_ns; });
  for (size_t i = 0; i < rows.size(); ++i) rows[i].id = static_cast<trace::AllocationId>(i + 1);
  reader.allocation_rows = std::move(rows);
  for (int stack = 1; stack <= 40; ++stack) {
    reader.stacks[static_cast<trace::StackId>(stack)] = {
        frame("inner" + std::to_string(stack), 100 + stack / 4), frame("main", 7)};
  }
  reader.end = 200'000;
  return reader;
}

Report detailed(const FakeReader& reader, const DetailLimits& limits) {
  ReportOptions options;
  options.culprits = 1000;
  options.detail = limits;
  auto report = build_report(reader, options);
  EXPECT_TRUE(report) << report.error().message;
  return std::move(*report);
}

int64_t total_at(const Timeline& line, size_t sample) {
  int64_t sum = 0;
  for (const auto& bytes : line.bytes) sum += bytes[sample];
  return sum;
}

TEST(Timeline, of_a_short_trace_has_every_change) {
  const FakeReader reader = busy_trace(300);
  const auto curves = usage_curves(reader);
  const Report report = detailed(reader, {});
  const Timeline& line = report.series.at(0).detail->timeline;
  EXPECT_EQ(line.column_ns, 0);
  for (size_t i = 0; i < line.times_ns.size(); ++i) {
    EXPECT_EQ(total_at(line, i), bytes_at(curves->at(0), line.times_ns[i]));
  }
  EXPECT_GE(line.times_ns.size(), curves->at(0).points.size());
}

TEST(Timeline, of_a_long_trace_has_columns_whose_maxima_are_the_true_ones) {
  const FakeReader reader = busy_trace(4000);
  const auto curves = usage_curves(reader);
  const UsageCurve& curve = curves->at(0);
  const Report report = detailed(reader, {1000, 1});  // 2048 is the least that a series gets
  const Timeline& line = report.series.at(0).detail->timeline;
  ASSERT_GT(line.column_ns, 0);
  ASSERT_GT(curve.points.size(), line.times_ns.size());
  EXPECT_LE(line.times_ns.size(), 2049U);
  for (size_t i = 0; i < line.times_ns.size(); ++i) {
    int64_t most = bytes_at(curve, line.times_ns[i]);
    for (const UsagePoint& point : curve.points) {
      const int64_t since = point.time_ns - line.times_ns[i];
      if (since >= 0 && since < line.column_ns) most = std::max(most, point.bytes);
    }
    EXPECT_EQ(total_at(line, i), most) << "column " << i;
  }
}

TEST(Timeline, survives_times_that_cannot_be) {
  FakeReader reader = busy_trace(1500);
  reader.allocation_rows.front().alloc_ns = std::numeric_limits<int64_t>::min();
  reader.allocation_rows.back().free_ns = trace::kNever - 1;
  const Report report = detailed(reader, {1000, 1});
  const Timeline& line = report.series.at(0).detail->timeline;
  EXPECT_LE(line.times_ns.size(), 2U * 2049U);
  int64_t most = 0;
  for (size_t i = 0; i < line.times_ns.size(); ++i) most = std::max(most, total_at(line, i));
  EXPECT_EQ(most, report.series[0].peak_bytes);
}

TEST(PeakRows, what_is_not_told_apart_is_summed_up_by_line) {
  const FakeReader reader = busy_trace(2000);
  const Report report = detailed(reader, {15, 65536});
  const SeriesReport& series = report.series.at(0);
  const PeakDetail& peak = series.detail->peak;
  EXPECT_EQ(peak.stacks.size(), 15U);
  uint64_t sum = 0;
  std::map<std::string, uint64_t> lines;
  std::map<std::string, int64_t> categories;
  for (const PeakRow& row : peak.rows) {
    sum += row.bytes;
    ASSERT_GE(row.line, 0);
    lines[peak.lines[static_cast<size_t>(row.line)].name] += row.bytes;
    categories[to_string(row.category)] += static_cast<int64_t>(row.bytes);
  }
  EXPECT_EQ(sum, static_cast<uint64_t>(series.peak_bytes));
  for (const Culprit& line : series.lines) EXPECT_EQ(lines[line.name], line.bytes) << line.name;
  EXPECT_EQ(lines.size(), series.lines.size());
  for (const CategoryBytes& one : series.categories) {
    EXPECT_EQ(categories[one.category], one.bytes) << one.category;
  }
}

TEST(PeakRows, without_a_single_stack_are_one_row) {
  FakeReader reader = busy_trace(50);
  for (auto& row : reader.allocation_rows) row.alloc_stack = {};
  const Report report = detailed(reader, {});
  const PeakDetail& peak = report.series.at(0).detail->peak;
  ASSERT_EQ(peak.rows.size(), 1U);
  EXPECT_EQ(peak.rows[0].bytes, static_cast<uint64_t>(report.series[0].peak_bytes));
  EXPECT_EQ(peak.rows[0].stack, 0);
  ASSERT_EQ(peak.stacks.size(), 1U);
  EXPECT_TRUE(peak.stacks[0].lines.empty());
}

std::string between(const std::string& text, const std::string& open, const std::string& close) {
  const size_t begin = text.find(open);
  EXPECT_NE(begin, std::string::npos) << open;
  const size_t from = begin + open.size();
  return text.substr(from, text.find(close, from) - from);
}

size_t times(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(Page, has_the_report_in_it_as_json_prints_it) {
  const Report report = detailed(busy_trace(300), {});
  const std::string page = report_html(report);
  const std::string data = between(page, "id=\"report-data\">", "</script>");
  EXPECT_EQ(Json::parse(data), Json::parse(report_json(report)));
  const Json detail = Json::parse(between(page, "id=\"detail-data\">", "</script>"));
  const Json& space = detail["spaces"][0];
  uint64_t sum = 0;
  for (const Json& bytes : space["rows"]["bytes"]) sum += bytes.get<uint64_t>();
  EXPECT_EQ(sum, static_cast<uint64_t>(report.series[0].peak_bytes));
  for (const Json& node : space["stacks"]) {
    ASSERT_LT(node.get<int>(), static_cast<int>(space["nodes"]["parent"].size()));
  }
}

TEST(Page, names_of_a_trace_are_never_markup) {
  const std::string evil = "</script><script>alert(1)</script><!--{{style}}\"'&\xff";
  FakeReader reader = busy_trace(30);
  for (auto& [stack, frames] : reader.stacks) {
    for (auto& one : frames) one.function = one.file = one.module = evil;
  }
  trace::Process process;
  process.id = static_cast<trace::ProcessId>(1);
  process.command = evil;
  reader.process_rows = {process};
  reader.loss_rows = {{evil, trace::Severity::kInfo, 1}};
  const std::string clean = report_html(detailed(busy_trace(30), {}));
  const std::string page = report_html(detailed(reader, {}));
  EXPECT_GT(times(page, "alert(1)"), 0U);
  for (const char* tag : {"<script", "</script", "<!--", "<style", "<title>"}) {
    EXPECT_EQ(times(page, tag), times(clean, tag)) << tag;
  }
  EXPECT_EQ(page.find('\xff'), std::string::npos);
  EXPECT_FALSE(Json::parse(between(page, "id=\"report-data\">", "</script>")).is_discarded());
  EXPECT_FALSE(Json::parse(between(page, "id=\"detail-data\">", "</script>")).is_discarded());
}

TEST(Page, needs_no_other_file_and_no_network) {
  const std::string page = report_html(detailed(busy_trace(30), {}));
  for (const char* part :
       {"src=", "href=", "url(", "@import", "fetch(", "XMLHttp", "http:", "https:", "{{"}) {
    EXPECT_EQ(page.find(part), std::string::npos) << part;
  }
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
}

TEST(Page, of_a_large_trace_stays_small) {
  const Report report = detailed(busy_trace(60'000), {});
  EXPECT_LT(report_html(report).size(), 3 * kMiB);
}

TEST(Page, of_nothing_is_a_page) {
  const FakeReader reader;
  const std::string page = report_html(detailed(reader, {}));
  EXPECT_TRUE(Json::parse(between(page, "id=\"detail-data\">", "</script>"))["spaces"].empty());
}

}  // namespace
}  // namespace tidemark::analyzer
