// What libraries take beside the tensors, and how it follows the batch and the precision. Sizes are
// those of recordings on an H100 (PyTorch 2.11, cuDNN 9) where they are in MiB.
#include <gtest/gtest.h>

#include <algorithm>

#include "../../analyzer/whatif/recurrent.h"
#include "../../analyzer/whatif/reductions.h"
#include "../../analyzer/whatif/transform_parts.h"
#include "../../analyzer/whatif/whatif_parts.h"
#include "schedule_builder.h"

namespace tidemark::analyzer {
namespace {

using test::Builder;
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr int64_t kStride = Schedule::kStride;

// A step of an LSTM of two layers of 1024 over 128 tokens, at a batch of 16: weights flattened from
// two blocks of 32 MiB, and the scratch and the reserve of its forward.
struct Lstm {
  Builder build;
  uint32_t first, second, flat, scratch, reserve;
  Lstm() {
    build.schedule.operations = {"", "_cudnn_rnn_flatten_weight", "_cudnn_rnn"};
    build.schedule.calls.emplace_back();
    const auto add = [&](uint64_t bytes, uint32_t step, Category category, BatchLaw law,
                         uint32_t operation) {
      const Phase phase = step == 0 ? Phase::kSetup : Phase::kForward;
      const uint32_t block = build.add(bytes, step, phase, category, law);
      build.schedule.blocks[block].operation = operation;
      return block;
    };
    first = add(32 * kMiB, 0, Category::kTemporary, BatchLaw::kFixed, 0);
    second = add(32 * kMiB, 0, Category::kTemporary, BatchLaw::kFixed, 0);
    flat = add(64 * kMiB, 0, Category::kParameter, BatchLaw::kFixed, 1);
    build.end(first);
    build.end(second);
    ScheduledStep step;
    step.begin = build.now();
    scratch = add(137 * kMiB + kMiB / 4, 1, Category::kTemporary, BatchLaw::kPerSample, 2);
    reserve = add(88 * kMiB + kMiB / 4, 1, Category::kActivation, BatchLaw::kPerSample, 2);
    build.schedule.blocks[reserve].saved = true;
    build.work(Phase::kForward, 1, {flat, scratch, reserve}, 1);
    build.end(scratch);
    step.backward = step.optimizer = build.now();
    build.end(reserve);
    step.end = build.now();
    build.schedule.iterations.push_back(step);
    assign_recurrent_laws(build.schedule);
  }
  uint64_t bytes(uint32_t block) const { return build.schedule.blocks[block].bytes; }
};

TEST(WhatIfLibraries, a_recurrent_scratch_has_weights_and_16_mebibytes_that_no_batch_changes) {
  for (const auto& [factor, expected] : {std::pair{2, 194.5}, {4, 309.0}, {8, 538.0}}) {
    Lstm lstm;
    Changes changes;
    ASSERT_TRUE(scale_batch(lstm.build.schedule, factor, changes));
    EXPECT_EQ(lstm.bytes(lstm.scratch), static_cast<uint64_t>(expected * double{kMiB})) << factor;
    EXPECT_EQ(lstm.bytes(lstm.reserve), factor * (88 * kMiB + kMiB / 4)) << "all of it";
  }
}

TEST(WhatIfLibraries, in_bfloat16_each_recurrent_call_copies_its_weights_together) {
  Lstm lstm;
  Changes changes;
  ASSERT_TRUE(lower_precision(lstm.build.schedule, Precision::kBfloat16, changes));
  EXPECT_EQ(lstm.bytes(lstm.scratch), 76 * kMiB + 5 * kMiB / 8) << "the 16 MiB are not floats";
  const auto& blocks = lstm.build.schedule.blocks;
  EXPECT_EQ(blocks[lstm.flat].end, blocks[lstm.flat].begin) << "not flattened";
  EXPECT_EQ(blocks[lstm.first].end, ScheduledBlock::kForever);
  EXPECT_EQ(blocks[lstm.first].category, Category::kParameter);
  const ScheduledBlock& copy = blocks.back();
  EXPECT_EQ(copy.bytes, 32 * kMiB);
  EXPECT_LT(copy.begin, blocks[lstm.scratch].begin);
  EXPECT_GT(copy.end, blocks[lstm.reserve].end) << "backward uses it";
  Lstm half;
  ASSERT_TRUE(lower_precision(half.build.schedule, Precision::kFloat16, changes));
  EXPECT_GT(half.build.schedule.blocks[half.flat].end, half.build.schedule.blocks[half.flat].begin);
}

TEST(WhatIfLibraries, sums_over_columns_that_four_does_not_divide_have_groups_of_their_own) {
  constexpr uint64_t kH100 = 132 * 16;  // groups of 128 threads
  EXPECT_EQ(sum_scratch_bytes(2048, 33278, kH100), 25557504U);
  EXPECT_EQ(sum_scratch_bytes(4096, 33278, kH100), 25557504U) << "the device is full";
  EXPECT_EQ(sum_scratch_bytes(8192, 33278, kH100), 34076672U);
  EXPECT_EQ(rows_at_once({16384, 33278, 4}), 8192U) << "more than 2 GiB: in two halves";
}

TEST(WhatIfLibraries, more_samples_need_fewer_partial_sums_and_fewer_samples_as_many) {
  // 14 x 14 with 512 channels: in and out, weights of 9 MiB, and room for split sums.
  ScheduledBlock scratch;
  scratch.bytes = 34 * kMiB;
  scratch.fixed_bytes = 22 * kMiB;
  scratch.split_bytes = 13 * kMiB - kMiB / 2;
  ScheduledBlock fewer = scratch;
  scale_samples(scratch, 5);
  EXPECT_EQ(scratch.bytes, 5 * 12 * kMiB + 9 * kMiB + kMiB / 2 + 5 * kMiB / 2);
  scale_samples(fewer, 0.5);
  EXPECT_EQ(fewer.bytes, 28 * kMiB);
}

// One node of backward with a result and a scratch, which uses A, saved by forward, and a weight.
struct Node {
  Builder build;
  uint32_t weight, a, out, result;
  Node() {
    build.schedule.operations = {"", "addmm", "AddmmBackward0"};
    build.schedule.calls.emplace_back();
    weight = build.add(1000, 0, Phase::kSetup, Category::kParameter, BatchLaw::kFixed);
    ScheduledStep step;
    step.begin = build.now();
    a = build.add(100, 1, Phase::kForward, Category::kActivation, BatchLaw::kPerSample);
    out = build.add(70, 1, Phase::kForward, Category::kTemporary, BatchLaw::kPerSample);
    build.schedule.blocks[out].operation = 1;
    build.work(Phase::kForward, 1, {a, weight, out}, 1);
    build.end(out);
    step.backward = build.now();
    const uint32_t scratch = add_backward(30);
    result = add_backward(40);
    build.work(Phase::kBackward, 1, {a, weight, scratch, result}, 1);
    build.end(scratch);
    build.end(a);
    build.end(result);
    step.optimizer = step.end = build.now();
    build.schedule.iterations.push_back(step);
    build.schedule.event_ns.resize(static_cast<size_t>(build.now() / kStride));
  }
  uint32_t add_backward(uint64_t bytes) {
    const uint32_t block =
        build.add(bytes, 1, Phase::kBackward, Category::kTemporary, BatchLaw::kPerSample);
    build.schedule.blocks[block].operation = 2;
    return block;
  }
  std::vector<ScheduledBlock> added() const {
    return {build.schedule.blocks.begin() + result + 1, build.schedule.blocks.end()};
  }
};

TEST(WhatIfLibraries, a_node_brings_back_all_that_it_saved_before_it_works_weights_too) {
  Node node;
  Changes changes;
  ASSERT_TRUE(offload_activations(node.build.schedule, changes));
  const auto& blocks = node.build.schedule.blocks;
  EXPECT_LT(blocks[node.a].end, blocks[node.out].end) << "on the host after forward";
  const auto added = node.added();
  ASSERT_EQ(added.size(), 2U);
  for (const ScheduledBlock& back : added) {
    EXPECT_LT(back.begin, blocks[node.result - 1].begin) << "before the node's scratch";
    EXPECT_GT(back.begin, blocks[node.out].begin);
    EXPECT_GT(back.end, blocks[node.result - 1].end);
    EXPECT_LT(back.end, blocks[node.result].end);
  }
  EXPECT_EQ(added[0].bytes + added[1].bytes, 1100U);
}

TEST(WhatIfLibraries, a_weight_that_is_saved_transposed_is_put_in_order_before_its_product) {
  Node node;
  node.build.schedule.blocks[node.out].transposed_weight = true;
  Changes changes;
  ASSERT_TRUE(offload_activations(node.build.schedule, changes));
  const auto added = node.added();
  ASSERT_EQ(added.size(), 3U);
  EXPECT_EQ(added[0].bytes, 1000U);
  EXPECT_LT(added[0].end, node.build.schedule.blocks[node.out].begin);
}

TEST(WhatIfLibraries, what_a_chosen_scratch_just_fits_into_widens_the_answer) {
  // A hole of 100 MiB, and a scratch of 99 MiB that may come to have 102.
  Builder build;
  const uint32_t hole =
      build.add(100 * kMiB, 1, Phase::kForward, Category::kTemporary, BatchLaw::kPerSample);
  build.end(hole);
  const uint32_t scratch =
      build.add(99 * kMiB, 1, Phase::kForward, Category::kTemporary, BatchLaw::kPerSample);
  build.end(scratch);
  build.schedule.operations = {"cudnn_convolution"};
  build.schedule.calls.emplace_back();
  Schedule& schedule = build.schedule;
  schedule.chosen_anew = true;
  EXPECT_FALSE(spread_of(schedule, "torch").value()) << "nothing is chosen";
  schedule.blocks[scratch].chosen = true;
  const auto spread = spread_of(schedule, "torch").value();
  ASSERT_TRUE(spread);
  EXPECT_GT(spread->reserved, 100 * kMiB);
  EXPECT_LT(spread->reserved, 202 * kMiB);
  EXPECT_NEAR(static_cast<double>(spread->reserved) * (1 + spread->above), 202.0 * kMiB,
              2.0 * kMiB);
  EXPECT_EQ(spread_of(schedule, "torch").value()->reserved, spread->reserved) << "the same again";
  schedule.chosen_anew = false;
  EXPECT_FALSE(spread_of(schedule, "torch").value()) << "as it was recorded";
}

}  // namespace
}  // namespace tidemark::analyzer
