// What grew from one report to another.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fake_reader.h"
#include "tidemark/analyzer/diff.h"

namespace tidemark::analyzer {
namespace {

using Json = nlohmann::json;
using tests::FakeReader;

struct Call {
  const char* function;
  int32_t line;
};

// Heap blocks of one program: each of a size, from a function at a line. `first_stack`: ids that no
// other recording has.
class Program {
 public:
  explicit Program(int64_t first_stack, std::string folder = "/src/a")
      : next_stack_(first_stack), folder_(std::move(folder)) {
    reader_.end = 1000;
  }
  Program& block(uint64_t size, Call call) {
    trace::Allocation row;
    row.id = static_cast<trace::AllocationId>(reader_.allocation_rows.size() + 1);
    row.process = static_cast<trace::ProcessId>(1);
    row.layer = trace::Layer::kHeap;
    row.space = trace::Space::kHost;
    row.address = static_cast<uint64_t>(next_stack_) << 24;
    row.size = size;
    row.alloc_ns = static_cast<int64_t>(10 + reader_.allocation_rows.size());
    row.alloc_stack = static_cast<trace::StackId>(next_stack_);
    trace::Frame inner;
    inner.function = call.function;
    inner.file = folder_ + "/train.cpp";
    inner.line = call.line;
    inner.module = folder_ + "/train";
    trace::Frame outer = inner;
    outer.function = "main";
    outer.line = 7;
    reader_.stacks[static_cast<trace::StackId>(next_stack_++)] = {inner, outer};
    reader_.allocation_rows.push_back(row);
    return *this;
  }
  Report report() const {
    auto report = build_report(reader_, diff_options());
    EXPECT_TRUE(report) << report.error().message;
    return std::move(*report);
  }

 private:
  FakeReader reader_;
  int64_t next_stack_;
  std::string folder_;
};

const SeriesDiff& only(const ReportDiff& diff) {
  EXPECT_EQ(diff.series.size(), 1U);
  return diff.series.at(0);
}

int64_t sum(const std::vector<DiffRow>& rows) {
  int64_t change = 0;
  for (const DiffRow& row : rows) change += row.change();
  return change;
}

void expect_sums(const SeriesDiff& line) {
  for (const auto* rows : {&line.categories, &line.lines, &line.layers, &line.stacks}) {
    EXPECT_EQ(sum(*rows), line.change());
  }
}

TEST(Diff, owners_are_found_by_name_whatever_their_ids_and_counts) {
  const Report before = Program(1).block(100, {"load", 12}).block(50, {"step", 30}).report();
  const Report after =
      Program(900).block(50, {"step", 30}).block(70, {"load", 12}).block(80, {"load", 12}).report();
  const ReportDiff all = diff(before, after);
  const SeriesDiff& line = only(all);
  EXPECT_EQ(line.change(), 50);
  ASSERT_EQ(line.lines.size(), 2U);
  EXPECT_EQ(line.lines[0].name, "train.cpp:12 load");
  EXPECT_EQ(line.lines[0].bytes_before, 100U);
  EXPECT_EQ(line.lines[0].bytes_after, 150U);
  EXPECT_EQ(line.lines[0].count_before, 1U);
  EXPECT_EQ(line.lines[0].count_after, 2U);
  ASSERT_EQ(line.stacks.size(), 2U);
  EXPECT_EQ(line.stacks[0].change(), 50);
  EXPECT_EQ(line.stacks[1].change(), 0);
  expect_sums(line);
}

TEST(Diff, a_line_that_moved_to_another_place_or_folder_is_the_same) {
  const Report before = Program(1).block(100, {"load", 12}).block(50, {"step", 30}).report();
  const Report after =
      Program(9, "/src/b").block(100, {"load", 14}).block(60, {"step", 33}).report();
  const ReportDiff all = diff(before, after);
  const SeriesDiff& line = only(all);
  ASSERT_EQ(line.lines.size(), 2U);
  EXPECT_EQ(line.lines[0].name, "train.cpp:33 step");
  EXPECT_EQ(line.lines[0].change(), 10);
  ASSERT_EQ(line.stacks.size(), 2U);
  EXPECT_EQ(line.stacks[0].change(), 10);
  expect_sums(line);
}

TEST(Diff, of_two_lines_of_a_function_the_one_that_stayed_is_itself) {
  const Report before = Program(1).block(100, {"step", 30}).block(40, {"step", 35}).report();
  const Report after = Program(9).block(100, {"step", 30}).block(44, {"step", 36}).report();
  const ReportDiff all = diff(before, after);
  const SeriesDiff& line = only(all);
  ASSERT_EQ(line.lines.size(), 2U);
  EXPECT_EQ(line.lines[0].name, "train.cpp:36 step");
  EXPECT_EQ(line.lines[0].bytes_before, 40U);
  EXPECT_EQ(line.lines[1].change(), 0);
}

TEST(Diff, what_is_new_or_gone_stands_alone) {
  const Report before = Program(1).block(100, {"load", 12}).report();
  const Report after = Program(9).block(30, {"cache", 80}).block(20, {"cache", 81}).report();
  const ReportDiff all = diff(before, after);
  const SeriesDiff& line = only(all);
  ASSERT_EQ(line.lines.size(), 3U);
  EXPECT_EQ(line.lines[0].change(), -100);
  EXPECT_EQ(line.lines[1].change(), 30);
  EXPECT_EQ(line.lines[2].change(), 20);
  expect_sums(line);
}

TEST(Diff, a_space_that_one_recording_lacks_is_there_with_one_side) {
  const ReportDiff all = diff(Program(1).report(), Program(9).block(30, {"cache", 80}).report());
  const SeriesDiff& line = only(all);
  EXPECT_FALSE(line.before);
  EXPECT_EQ(line.after->bytes, 30);
  EXPECT_NE(diff_text(all).find("heap host: only after, 30 B"), std::string::npos);
  const Json json = Json::parse(diff_json(all));
  EXPECT_TRUE(json["spaces"][0]["before"].is_null());
  EXPECT_EQ(json["spaces"][0]["change_bytes"], 30);
}

TEST(Diff, of_a_recording_with_itself_says_that_nothing_changed) {
  const Report report = Program(1).block(100, {"load", 12}).report();
  const std::string text = diff_text(diff(report, report));
  EXPECT_NE(text.find("heap host: 100 B as before"), std::string::npos) << text;
  EXPECT_EQ(text.find("by line"), std::string::npos) << text;
}

TEST(Diff, layers_that_differ_in_their_numbers_are_one_line_of_text) {
  ReportDiff all;
  SeriesDiff line;
  line.series = {trace::Layer::kPool, trace::Space::kDevice, 0};
  line.before = SeriesPeak{300, 1, -1, {}};
  line.after = SeriesPeak{600, 1, -1, {}};
  for (const char* name : {"Model[0].Block[0].Linear[1]", "Model[0].Block[1].Linear[1]",
                           "Model[0].Block[11].Linear[1]", "Odd[x.Block["}) {
    DiffRow row;
    row.name = name;
    row.bytes_before = 100;
    row.bytes_after = 200;
    line.layers.push_back(row);
  }
  all.series.push_back(line);
  const std::string text = diff_text(all);
  EXPECT_NE(text.find("+300 B      300 B ->     600 B  Model[0].Block[*].Linear[1] (3 layers)"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("Odd[x.Block["), std::string::npos) << text;
}

TEST(Diff, names_of_a_trace_cannot_steer_a_terminal) {
  const Report before = Program(1, "/\x1b[2J").block(100, {"\x1b]0;t\x07", 12}).report();
  const Report after = Program(9, "/\x1b[2J").block(900, {"\x1b]0;t\x07", 12}).report();
  const std::string text = diff_text(diff(before, after));
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_FALSE(Json::parse(diff_json(diff(before, after))).is_discarded());
}

}  // namespace
}  // namespace tidemark::analyzer
