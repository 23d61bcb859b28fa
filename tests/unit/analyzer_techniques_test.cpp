// Advice by technique: one line of each, each with a number, and the numbers are what-if's.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

#include "fake_training.h"
#include "sizes.h"
#include "tidemark/analyzer/render.h"
#include "tidemark/analyzer/whatif.h"

namespace tidemark::analyzer {
namespace {

using namespace training;  // NOLINT: what the whole file is about

TechniqueAdvice advice_of(const FakeReader& reader, AdviceDepth depth = AdviceDepth::kAll) {
  ReportOptions options;
  options.advice = depth;
  auto report = build_report(reader, options);
  EXPECT_TRUE(report.has_value());
  EXPECT_TRUE(report->techniques.has_value());
  return *report->techniques;
}

const TechniqueLine& line(const TechniqueAdvice& advice, Technique technique) {
  return advice.lines.at(static_cast<size_t>(technique));
}

void expect_complete(const TechniqueAdvice& advice) {
  ASSERT_EQ(advice.lines.size(), kTechniques);
  for (size_t i = 0; i < kTechniques; ++i) {
    const TechniqueLine& one = advice.lines[i];
    EXPECT_EQ(one.technique, static_cast<Technique>(i));
    EXPECT_TRUE(std::any_of(one.why.begin(), one.why.end(),
                            [](unsigned char c) { return std::isdigit(c) != 0; }))
        << to_string(one.technique) << ": " << one.why;
    EXPECT_TRUE(one.why.ends_with('.')) << one.why;
    EXPECT_NE(one.command.find("tidemark "), std::string::npos);
    EXPECT_EQ(one.applies, !one.change.empty()) << to_string(one.technique) << ": " << one.why;
  }
}

class Host {
 public:
  FakeReader reader;

  Host() {
    trace::Process process;
    process.id = trace::ProcessId{1};
    process.end_ns = 1000;
    process.exit = 0;
    reader.process_rows = {process};
    reader.end = 1000;
  }
  void block(uint64_t size, const char* function) {
    trace::Allocation row;
    row.id = AllocationId{static_cast<int64_t>(reader.allocation_rows.size()) + 1};
    row.process = trace::ProcessId{1};
    row.layer = trace::Layer::kHeap;
    row.address = next_;
    row.size = size;
    row.alloc_ns = 10;
    row.free_ns = 900;
    row.alloc_stack = StackId{static_cast<int64_t>(reader.stacks.size()) + 1};
    trace::Frame frame;
    frame.function = function;
    frame.file = "main.cpp";
    frame.line = 7;
    reader.stacks[row.alloc_stack] = {frame};
    reader.allocation_rows.push_back(row);
    next_ += size + 4096;
  }

 private:
  uint64_t next_ = uint64_t{1} << 32;
};

TEST(Techniques, nothing_recorded_still_says_why_of_each) {
  const FakeReader empty;
  const TechniqueAdvice advice = advice_of(empty);
  expect_complete(advice);
  EXPECT_FALSE(advice.series.has_value());
  for (const TechniqueLine& one : advice.lines) EXPECT_FALSE(one.applies) << one.why;
}

TEST(Techniques, a_training_loop_is_predicted_as_whatif_predicts_it) {
  const Training training;
  const TechniqueAdvice advice = advice_of(training.reader);
  expect_complete(advice);
  ASSERT_EQ(advice.series, kPool);
  EXPECT_EQ(advice.not_replayed, "");
  const auto schedule = build_schedule(training.reader, kPool);
  ASSERT_TRUE(schedule.has_value());
  WhatIf half;
  half.batch = 0.5;
  const auto prediction = predict(*schedule, half);
  ASSERT_TRUE(prediction.has_value());
  EXPECT_EQ(advice.peak_bytes, static_cast<int64_t>(prediction->baseline.reserved));
  const TechniqueLine& batch = line(advice, Technique::kBatch);
  EXPECT_EQ(batch.peak_with_bytes, static_cast<int64_t>(prediction->predicted.reserved));
  ASSERT_TRUE(batch.time_ratio.has_value());
  EXPECT_DOUBLE_EQ(*batch.time_ratio, prediction->time_ratio());
  EXPECT_EQ(batch.command, "tidemark whatif FILE --batch 0.5x");
  EXPECT_EQ(advice.saved_bytes(batch),
            std::max<int64_t>(0, advice.peak_bytes - *batch.peak_with_bytes));
}

TEST(Techniques, a_long_recording_is_replayed_only_when_asked) {
  Host host;
  for (int i = 0; i < 100'001; ++i) host.block(16, "node");
  const TechniqueAdvice quick = advice_of(host.reader, AdviceDepth::kQuick);
  expect_complete(quick);
  EXPECT_NE(quick.not_replayed.find("100,001"), std::string::npos) << quick.not_replayed;
  EXPECT_FALSE(line(quick, Technique::kBatch).peak_with_bytes.has_value());
  EXPECT_EQ(advice_of(host.reader).not_replayed, "");
}

TEST(Techniques, of_small_blocks_the_headers_are_what_arrays_save) {
  Host host;
  for (int i = 0; i < 100; ++i) host.block(16, "node");
  const TechniqueAdvice advice = advice_of(host.reader);
  expect_complete(advice);
  const TechniqueLine& structures = line(advice, Technique::kStructures);
  EXPECT_TRUE(structures.applies);
  EXPECT_EQ(structures.beside_bytes, 800U);
  Host large;
  large.block(kMiB, "array");
  EXPECT_FALSE(line(advice_of(large.reader), Technique::kStructures).applies);
}

TEST(Techniques, large_buffers_that_are_read_into_could_be_mapped) {
  Host host;
  host.block(4 * kMiB, "Data::read_all(std::string const&)");
  host.block(3 * kMiB, "start_thread");  // the word is not in it
  host.block(1000, "fread");             // too small
  const TechniqueAdvice advice = advice_of(host.reader);
  const TechniqueLine& mapping = line(advice, Technique::kMapping);
  EXPECT_TRUE(mapping.applies);
  EXPECT_EQ(mapping.beside_bytes, 4 * kMiB);
  EXPECT_NE(mapping.why.find("4.00 MiB of the heap's peak lay in 1 blocks"), std::string::npos)
      << mapping.why;
}

TEST(Techniques, pageable_copies_are_worth_what_their_findings_say) {
  Training training;
  for (int64_t i = 0; i < 8; ++i) {
    trace::Transfer copy;
    copy.id = 100 + i;
    copy.device = 0;
    copy.kind = trace::TransferKind::kHtoD;
    copy.bytes = kMiB;
    copy.src_space = i == 0 ? Space::kPinned : Space::kHost;
    copy.dst_space = Space::kDevice;
    copy.start_ns = training.iteration_begins[1] + 1 + i * 10;
    copy.end_ns = copy.start_ns + (i == 0 ? 1 : 9);
    training.reader.transfer_rows.push_back(copy);
  }
  ReportOptions options;
  options.advice = AdviceDepth::kAll;
  const auto report = build_report(training.reader, options);
  ASSERT_TRUE(report.has_value());
  double seconds = 0;
  for (const Finding& finding : report->findings) {
    const bool of_pinning = finding.pattern == Pattern::kPageableCopies;
    if (of_pinning) seconds += finding.seconds;
  }
  ASSERT_GT(seconds, 0);
  const TechniqueLine& pinning = line(*report->techniques, Technique::kPinning);
  EXPECT_TRUE(pinning.applies);
  EXPECT_DOUBLE_EQ(pinning.seconds, seconds);
}

TEST(Techniques, products_in_full_floats_could_be_on_tensor_cores) {
  Training training;
  const auto kernel = [&](const char* name, int64_t ns) {
    trace::Kernel row;
    row.id = static_cast<int64_t>(training.reader.kernel_rows.size()) + 1;
    row.device = 0;
    row.name = training.reader.intern(name);
    row.start_ns = 10;
    row.end_ns = 10 + ns;
    training.reader.kernel_rows.push_back(row);
  };
  training.reader.kernel_rows.clear();
  kernel("sm80_xmma_gemm_f32f32_f32f32_f32_tn_n", 400);
  kernel("sm80_xmma_gemm_f32f32_tf32f32_f32_tn_n", 30);
  kernel("void cutlass::Kernel2<cutlass_80_simt_sgemm_128x64>", 100);
  kernel("sm90_xmma_gemm_bf16bf16_bf16f32_f32", 20);
  kernel("vectorized_elementwise_kernel", 1000);
  ReportOptions options;
  options.advice = AdviceDepth::kAll;
  const auto report = build_report(training.reader, options);
  ASSERT_TRUE(report && report->kernels);
  EXPECT_EQ(report->kernels->product_ns, 550);
  EXPECT_EQ(report->kernels->full_float_product_ns, 500);
  EXPECT_EQ(report->kernels->short_product_ns, 20);
  EXPECT_DOUBLE_EQ(line(*report->techniques, Technique::kHardware).seconds, 500e-9);
}

TEST(Techniques, text_shows_those_that_apply_and_names_the_others) {
  ReportOptions options;
  options.advice = AdviceDepth::kAll;
  const Training training;
  const auto report = build_report(training.reader, options);
  ASSERT_TRUE(report.has_value());
  // Lines are broken between words.
  std::string text = report_text(*report);
  for (size_t at = 0; (at = text.find("\n  ", at)) != std::string::npos;) text.replace(at, 3, " ");
  const std::string full = techniques_in_full(*report);
  for (const TechniqueLine& one : report->techniques->lines) {
    EXPECT_NE(full.find(std::string("  ") + technique_text(one.technique) + ": " +
                        (one.applies ? "applies" : "not worth")),
              std::string::npos);
    EXPECT_NE(text.find(technique_text(one.technique)), std::string::npos);
  }
}

}  // namespace
}  // namespace tidemark::analyzer
