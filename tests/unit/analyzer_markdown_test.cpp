// A report as Markdown: what a trace holds is never markup.
#include <gtest/gtest.h>

#include "fake_reader.h"
#include "tidemark/analyzer/render.h"

namespace tidemark::analyzer {
namespace {

Report report_with(const std::string& function, const std::string& command) {
  tests::FakeReader reader;
  reader.end = 100;
  trace::Process process;
  process.id = static_cast<trace::ProcessId>(1);
  process.command = command;
  reader.process_rows = {process};
  trace::Allocation row;
  row.id = static_cast<trace::AllocationId>(1);
  row.process = process.id;
  row.layer = trace::Layer::kHeap;
  row.size = 3 << 20;
  row.alloc_ns = 10;
  row.alloc_stack = static_cast<trace::StackId>(1);
  reader.allocation_rows = {row};
  trace::Frame frame;
  frame.function = function;
  frame.module = "/src/u/app";
  reader.stacks[row.alloc_stack] = {frame};
  return *build_report(reader, {});
}

TEST(Markdown, says_who_owned_the_peak) {
  const std::string text = report_markdown(report_with("load", "./train --fast"));
  EXPECT_EQ(text.find("### Memory of `./train --fast`\n"), 0U) << text;
  EXPECT_NE(text.find("| heap | host | 3.00 MiB | 10 ns | 3.00 MiB |"), std::string::npos) << text;
  EXPECT_NE(text.find("**3.00 MiB at the peak of heap host**"), std::string::npos) << text;
  EXPECT_NE(text.find("| `load` | 3.00 MiB | 100.0 % | 1 |"), std::string::npos) << text;
}

TEST(Markdown, no_name_ends_its_code_or_its_cell) {
  const std::string text = report_markdown(report_with("a`b``c|d<script>", "x\n# y \x1b[0m"));
  EXPECT_NE(text.find("| ``` a`b``c\\|d<script> ``` |"), std::string::npos) << text;
  EXPECT_NE(text.find("`x # y ?[0m`"), std::string::npos) << text;
  EXPECT_EQ(text.find("\n# y"), std::string::npos) << text;
}

TEST(Markdown, remarks_are_plain_text) {
  Report report = report_with("load", "./train");
  report.remarks = {"<img src=x> *bold* [a](b)"};
  EXPECT_NE(report_markdown(report).find("> \\<img src=x\\> \\*bold\\* \\[a\\](b)\n"),
            std::string::npos)
      << report_markdown(report);
}

TEST(Markdown, findings_say_where_how_much_and_how_to_mend) {
  Report report = report_with("load", "./train");
  Finding finding;
  finding.pattern = Pattern::kGrowth;
  finding.series = report.series[0].series;
  finding.bytes = 1 << 20;
  finding.where = "train.cpp:9 keep";
  finding.evidence = "3 <more> each time";
  finding.mend = "let go of it";
  finding.peak_bytes = 3 << 20;
  finding.peak_without_bytes = 2 << 20;
  report.findings.assign(7, finding);
  const std::string text = report_markdown(report);
  EXPECT_NE(text.find("- `train.cpp:9 keep` (growth, heap host, 1.00 MiB an iteration): "
                      "3 \\<more\\> each time. *Mend:* let go of it. Peak 3.00 MiB -> 2.00 MiB.\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("- 2 more\n"), std::string::npos) << text;
}

TEST(Markdown, of_nothing_says_so) {
  EXPECT_NE(report_markdown({}).find("No allocation was recorded."), std::string::npos);
}

}  // namespace
}  // namespace tidemark::analyzer
