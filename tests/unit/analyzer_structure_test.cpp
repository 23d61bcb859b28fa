// Iterations, phases, layers and categories of small training loops made by hand.
#include <gtest/gtest.h>

#include <numeric>

#include "../../analyzer/peak_without.h"
#include "fake_training.h"
#include "tidemark/analyzer/categories.h"
#include "tidemark/analyzer/render.h"

namespace tidemark::analyzer {
namespace {

using namespace training;  // NOLINT: what the whole file is about

TEST(Structure, IterationsBeginWhereTheLoopDoesAndTheFirstIsAWarmUp) {
  const Training training;
  const auto structure = find_structure(training.reader);
  ASSERT_TRUE(structure.has_value());
  EXPECT_EQ(structure->basis, Basis::kPool);
  ASSERT_EQ(structure->iterations.size(), 4U);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(structure->iterations[i].begin_ns, training.iteration_begins[i]);
    EXPECT_EQ(structure->iterations[i].warm_up, i == 0);
  }
  EXPECT_EQ(structure->warm_ups(), 1U);
  EXPECT_EQ(structure->iterations_sureness, Sureness::kSure);
  EXPECT_EQ(structure->iteration_at(training.iteration_begins[2] + 1), 2);
  EXPECT_EQ(structure->iteration_at(0), -1);
  EXPECT_EQ(structure->phase_at(0), Phase::kSetup);
  EXPECT_EQ(structure->phase_at(training.iteration_begins[0]), Phase::kForward);
  EXPECT_EQ(structure->phase_at(training.iteration_begins[0] + 75), Phase::kBackward);
}

// On the host no two steps allocate alike: lists grow, caches fill. Two of them may, by chance.
TEST(Structure, IterationsOfAHostProgramAreItsPassesThoughNoTwoAreAlike) {
  Training training(1, 0);
  training.reader.allocation_rows.clear();
  std::vector<int64_t> begins;
  constexpr size_t kSteps = 9;
  for (size_t step = 0; step < kSteps; ++step) {
    const size_t pages = 4096 * (step % 3 + 1);
    begins.push_back(training.now());
    for (size_t i = 0; i <= step % 3; ++i) training.add(kInputs, pages, 5);
    for (size_t i = 0; i < 20; ++i) training.add(kFirstBlock, pages + 64 * i, 500);
    for (size_t i = 0; i < 20 + step % 2; ++i) training.add(kBackward, pages, 5);
    training.add(kMoments, pages, 5);
  }
  training.reader.end = training.now();
  for (trace::Allocation& row : training.reader.allocation_rows) {
    row.layer = Layer::kHeap;
    row.space = Space::kHost;
  }
  const auto structure = find_structure(training.reader);
  ASSERT_TRUE(structure.has_value());
  EXPECT_EQ(structure->basis, Basis::kHeap);
  EXPECT_TRUE(structure->by_passes);
  ASSERT_EQ(structure->iterations.size(), kSteps);
  for (size_t i = 1; i < kSteps; ++i) EXPECT_EQ(structure->iterations[i].begin_ns, begins[i]) << i;
  EXPECT_EQ(structure->warm_ups(), 0U);
}

// Two inputs from one line, and two blocks that are alike: nothing before backward occurs only
// once, and what a library sets up late makes the first iterations differ before that.
TEST(Structure, IterationsBeginWithTheirForwardWhateverTellsThemApart) {
  for (const int slow : {0, 1, 2}) {
    const Training training(2, slow);
    const auto structure = find_structure(training.reader);
    ASSERT_TRUE(structure.has_value());
    ASSERT_EQ(structure->iterations.size(), 4U);
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(structure->iterations[i].begin_ns, training.iteration_begins[i])
          << i << " where " << slow << " differ";
    }
  }
}

TEST(Structure, EveryBlockHasThePlaceAndCategoryThatTheLoopGaveIt) {
  const Training training;
  const auto structure = find_structure(training.reader);
  ASSERT_TRUE(structure.has_value());
  const auto blocks = categorize(training.reader, *structure, kPool);
  ASSERT_TRUE(blocks.has_value());
  ASSERT_EQ(blocks->blocks.size(), training.reader.allocation_rows.size());
  const std::map<StackId, Category> expected = {
      {kParameters, Category::kParameter},      {kInputs, Category::kInput},
      {kFirstBlock, Category::kActivation},     {kSecondLine, Category::kActivation},
      {kScratch, Category::kTemporary},         {kBackward, Category::kGradient},
      {kBackwardScratch, Category::kTemporary}, {kMoments, Category::kOptimizerState}};
  for (const trace::Allocation& row : training.reader.allocation_rows) {
    const CategoryBlock* block = blocks->find(row.id);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(block->category, expected.at(row.alloc_stack))
        << to_string(block->category) << " of stack " << static_cast<int64_t>(row.alloc_stack);
    EXPECT_EQ(block->place.iteration, structure->iteration_at(row.alloc_ns));
  }
  EXPECT_EQ(blocks->find(AllocationId{1000}), nullptr);
}

// A program without a framework holds a set on the device that is evaluated after the loop.
TEST(Structure, WhatTheHostFillsAndKernelsReadBesideTheLoopAloneIsInput) {
  Training training;
  constexpr StackId kOwn{20};
  training.reader.stacks[kOwn] = {native("Trainer::Trainer", "trainer")};
  const auto set_up = [&](uint64_t size) {
    const AllocationId id = training.add(kOwn, size, trace::kNever);
    training.reader.allocation_rows.back().alloc_ns = 990;
    return id;
  };
  const AllocationId evaluated = set_up(5000);
  const AllocationId never_filled = set_up(6000);
  trace::Transfer copy;
  copy.kind = trace::TransferKind::kHtoD;
  copy.start_ns = 995;
  copy.dst_allocation = evaluated;
  training.reader.transfer_rows.push_back(copy);
  trace::Kernel kernel;
  kernel.id = 1;
  kernel.start_ns = training.reader.end - 1;
  training.reader.kernel_rows = {kernel};
  for (const AllocationId block : {evaluated, never_filled}) {
    training.reader.access_rows.push_back({1, block});
  }
  const auto structure = find_structure(training.reader);
  ASSERT_TRUE(structure.has_value());
  ASSERT_LT(structure->iterations.back().end_ns, kernel.start_ns);
  const auto blocks = categorize(training.reader, *structure, kPool);
  ASSERT_TRUE(blocks.has_value());
  EXPECT_EQ(blocks->find(evaluated)->category, Category::kInput);
  EXPECT_EQ(blocks->find(never_filled)->category, Category::kUnknown);
}

TEST(Structure, TurnsOfALoopOverBlocksAreLayersOfTheirOwn) {
  const Training training;
  const auto structure = find_structure(training.reader);
  ASSERT_TRUE(structure.has_value());
  const auto blocks = categorize(training.reader, *structure, kPool);
  ASSERT_TRUE(blocks.has_value());
  std::vector<std::string> paths;
  for (const ModelLayer& layer : blocks->layers) paths.push_back(layer.path);
  EXPECT_EQ(paths,
            (std::vector<std::string>{"Model[0]", "Model[0].Block[0]", "Model[0].Block[1]"}));
}

TEST(Structure, CategoriesAddUpToWhatWasLiveAtEveryMoment) {
  const Training training;
  const auto structure = find_structure(training.reader);
  const auto blocks = categorize(training.reader, *structure, kPool);
  const auto curves = usage_curves(training.reader);
  ASSERT_TRUE(blocks.has_value());
  ASSERT_EQ(curves->size(), 1U);
  for (const UsagePoint& point : curves->front().points) {
    const auto sums = category_bytes_at(training.reader, *blocks, nullptr, point.time_ns);
    ASSERT_TRUE(sums.has_value());
    EXPECT_EQ(std::accumulate(sums->begin(), sums->end(), uint64_t{0}),
              static_cast<uint64_t>(point.bytes));
  }
}

TEST(Structure, WhatAPoolLeavesOfADriversBlockIsTheFrameworks) {
  Training training;
  trace::Allocation segment;
  segment.id = AllocationId{5000};
  segment.process = trace::ProcessId{1};
  segment.layer = Layer::kDriver;
  segment.space = Space::kDevice;
  segment.device = 0;
  segment.address = 0x10000;
  segment.size = 1 << 20;
  segment.alloc_ns = 1;
  training.reader.allocation_rows.push_back(segment);
  const auto structure = find_structure(training.reader);
  const Series driver{Layer::kDriver, Space::kDevice, 0};
  const auto segments = categorize(training.reader, *structure, driver);
  const auto pool = categorize(training.reader, *structure, kPool);
  const auto sums = category_bytes_at(training.reader, *segments, &*pool, 1005);
  ASSERT_TRUE(sums.has_value());
  EXPECT_EQ((*sums)[static_cast<size_t>(Category::kParameter)], 4096U);
  EXPECT_EQ((*sums)[static_cast<size_t>(Category::kFramework)], (1U << 20) - 4096U);
}

TEST(Structure, TheReportSaysWhoOwnedThePeakAndWhatWouldBeWithoutTheLargestLine) {
  const Training training;
  const auto report = build_report(training.reader, {});
  ASSERT_TRUE(report.has_value());
  ASSERT_EQ(report->series.size(), 1U);
  const SeriesReport& line = report->series.front();
  int64_t sum = 0;
  for (const CategoryBytes& category : line.categories) sum += category.bytes;
  EXPECT_EQ(sum, line.peak_bytes);
  ASSERT_TRUE(line.cause.has_value());
  EXPECT_EQ(line.cause->iteration, 1);  // the first that also holds the moment
  ASSERT_FALSE(line.lines.empty());
  EXPECT_EQ(line.lines.front().bytes, line.cause->largest->bytes);
  uint64_t by_line = 0;
  for (const Culprit& culprit : line.lines) by_line += culprit.bytes;
  EXPECT_EQ(by_line, static_cast<uint64_t>(line.peak_bytes));
  EXPECT_LT(line.cause->next_peak_bytes, line.peak_bytes);
  const std::string text = report_text(*report);
  EXPECT_NE(text.find("Iterations: 4, of which 1 to warm up"), std::string::npos) << text;
  EXPECT_NE(text.find("optimizer state"), std::string::npos) << text;
}

// Phases from the rise and fall of memory alone: what trains nothing has those too.
TEST(Structure, AGuessedPhaseIsCalledAGuessWithWhatRestsOnIt) {
  const Training training;
  auto report = build_report(training.reader, {});
  ASSERT_TRUE(report.has_value());
  report->structure.phases_sureness = Sureness::kLikely;
  EXPECT_EQ(report_text(*report).find(" (guess)"), std::string::npos);
  EXPECT_EQ(report_markdown(*report).find(" (guess)"), std::string::npos);
  report->structure.phases_sureness = Sureness::kGuess;
  for (const std::string& text : {report_text(*report), report_markdown(*report)}) {
    EXPECT_NE(text.find("optimizer state (guess)"), std::string::npos) << text;
    EXPECT_EQ(text.find("unknown (guess)"), std::string::npos) << text;
  }
}

TEST(Structure, APeakWithoutSomeLifetimesIsTheReplayedCurves) {
  UsageCurve curve;
  curve.points = {{10, 100}, {20, 150}, {30, 120}, {40, 0}};
  EXPECT_EQ(peak_without(curve, {}).bytes, 150);
  const PeakPoint peak = peak_without(curve, {{20, 25, 50}});
  EXPECT_EQ(peak.bytes, 150);  // until 25 only: then it is as it was
  EXPECT_EQ(peak.time_ns, 25);
  EXPECT_EQ(peak_without(curve, {{20, 30, 50}}).bytes, 120);
  EXPECT_EQ(peak_without(curve, {{10, trace::kNever, 100}}).bytes, 50);
}

TEST(Structure, WithoutRepetitionThereIsNoneAndBlocksStayUnknown) {
  FakeReader reader;
  trace::Allocation row;
  row.id = AllocationId{1};
  row.layer = Layer::kDriver;
  row.space = Space::kDevice;
  row.device = 0;
  row.size = 10;
  reader.allocation_rows = {row};
  const auto structure = find_structure(reader);
  ASSERT_TRUE(structure.has_value());
  EXPECT_TRUE(structure->iterations.empty());
  EXPECT_EQ(structure->iteration_at(5), -1);
  const auto blocks = categorize(reader, *structure, {Layer::kDriver, Space::kDevice, 0});
  ASSERT_EQ(blocks->blocks.size(), 1U);
  EXPECT_EQ(blocks->blocks[0].category, Category::kUnknown);
}

TEST(Structure, AReaderThatFailsIsSaidSo) {
  FakeReader reader;
  reader.error = "damaged";
  EXPECT_EQ(find_structure(reader).error().message, "damaged");
}

}  // namespace
}  // namespace tidemark::analyzer
