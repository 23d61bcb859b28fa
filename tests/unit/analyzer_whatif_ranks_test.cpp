// Transforms that share a model's work among ranks, over the schedule of analyzer_whatif_test.cpp.
#include <gtest/gtest.h>

#include <set>

#include "schedule_builder.h"
#include "tidemark/analyzer/whatif.h"

namespace tidemark::analyzer {
namespace {

using test::Builder;
using test::bytes_of;
using test::two_steps;

uint64_t allocated(const Schedule& schedule) {
  return replay_peaks(schedule, "exact").value().value().allocated;
}

TEST(WhatIf, data_parallel_ranks_have_buckets_and_sharded_ones_their_part) {
  Schedule parallel = two_steps();
  Changes changes;
  ASSERT_TRUE(data_parallel(parallel, 2, changes));
  EXPECT_EQ(allocated(parallel), allocated(two_steps()) + 1000);
  Schedule sharded = two_steps();
  ASSERT_TRUE(shard(sharded, 3, 4, changes));
  EXPECT_EQ(sharded.blocks.front().bytes, 250U);
  EXPECT_EQ(bytes_of(sharded, Category::kOptimizerState), 500U);
  EXPECT_GT(bytes_of(sharded, Category::kCommunication), 0U) << "whole parameters, gathered";
  EXPECT_FALSE(shard(sharded, 4, 4, changes));
  EXPECT_FALSE(shard(sharded, 3, 1, changes));
}

TEST(WhatIf, the_first_step_has_one_bucket_of_all_gradients_and_the_next_ones_their_own) {
  Schedule schedule = two_steps();
  Changes changes;
  ASSERT_TRUE(data_parallel(schedule, 2, changes));
  std::vector<const ScheduledBlock*> buckets;
  for (const ScheduledBlock& block : schedule.blocks) {
    if (block.category == Category::kCommunication) buckets.push_back(&block);
  }
  ASSERT_EQ(buckets.size(), 2U) << "a single parameter is broadcast where it lies";
  EXPECT_EQ(buckets[0]->end, buckets[1]->begin);
  EXPECT_GT(buckets[1]->begin, schedule.iterations[0].end - Schedule::kStride);
  EXPECT_LT(buckets[1]->begin, schedule.iterations[1].begin);
}

TEST(WhatIf, the_rank_that_is_shown_of_stage_1_holds_the_states_of_the_largest_parameter) {
  // Three parameters with two states each: 600 goes to one rank, 300 and 200 to the other.
  Builder build;
  for (const uint64_t bytes : {200, 600, 300}) {
    build.add(bytes, 0, Phase::kSetup, Category::kParameter, BatchLaw::kFixed);
  }
  ScheduledStep step;
  step.begin = step.backward = step.optimizer = build.now();
  for (const uint64_t bytes : {200, 200, 600, 600, 300, 300}) {
    build.add(bytes, 1, Phase::kOptimizer, Category::kOptimizerState, BatchLaw::kFixed);
  }
  build.work(Phase::kOptimizer, 1, {0, 3}, 5);
  step.end = build.now();
  build.schedule.iterations.push_back(step);
  build.schedule.operations = {""};
  build.schedule.calls.emplace_back();
  Changes changes;
  ASSERT_TRUE(shard(build.schedule, 1, 2, changes));
  EXPECT_EQ(bytes_of(build.schedule, Category::kOptimizerState), 1200U);
}

TEST(WhatIf, what_ranks_gather_and_sum_is_on_streams_of_its_own) {
  Schedule schedule = two_steps();
  Changes changes;
  ASSERT_TRUE(shard(schedule, 3, 2, changes));
  std::set<uint32_t> streams;
  for (const ScheduledBlock& block : schedule.blocks) {
    streams.insert(block.stream);
    EXPECT_TRUE(block.trained || block.category != Category::kGradient || block.stream != 0 ||
                block.end < schedule.iterations[block.iteration - 1].optimizer)
        << "a whole gradient is gone before the optimizer";
  }
  EXPECT_EQ(streams.size(), 3U);
}

}  // namespace
}  // namespace tidemark::analyzer
