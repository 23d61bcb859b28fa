// Several devices, eight bits, and two traces: over built schedules.
#include <gtest/gtest.h>

#include <algorithm>

#include "schedule_builder.h"
#include "tidemark/analyzer/whatif.h"

namespace tidemark::analyzer {
namespace {

using test::Builder;
using test::bytes_of;
using test::two_steps;

// One layer of two products with Adam's states:
//
//   forward   x 8192 · h = x W1 32768 · r = f(h) 32768 · z = r W2 8192
//   backward  dz 8192 · dr = dz W2 32768 · G2 · dh 32768 · dx = dh W1 8192 · G1
struct TwoProducts {
  Schedule schedule;
  uint32_t x, h, r, z, dz, dr, dh, dx, w1, w2, g1, g2, state;
};

TwoProducts two_products() {
  TwoProducts t{};
  Builder build;
  build.schedule.operations = {"", "addmm", "relu", "AddmmBackward0", "ReluBackward0"};
  build.schedule.calls.emplace_back();
  build.schedule.instances.push_back({"Layer", 1, 0, 0});
  constexpr uint64_t kWeight = 65536;
  const auto weight = [&] {
    return build.add(kWeight, 0, Phase::kSetup, Category::kParameter, BatchLaw::kFixed);
  };
  t.w1 = weight();
  t.w2 = weight();
  ScheduledStep step;
  step.begin = build.now();
  const auto forward = [&](uint64_t bytes, uint32_t operation, uint32_t instance) {
    const uint32_t block =
        build.add(bytes, 1, Phase::kForward, Category::kActivation, BatchLaw::kPerSample, instance);
    build.schedule.blocks[block].operation = operation;
    return block;
  };
  const auto backward = [&](uint64_t bytes, Category category, uint32_t operation) {
    const uint32_t block = build.add(bytes, 1, Phase::kBackward, category, BatchLaw::kPerSample);
    build.schedule.blocks[block].operation = operation;
    return block;
  };
  t.x = forward(8192, 0, 0);
  build.work(Phase::kForward, 1, {t.x}, 10);
  t.h = forward(32768, 1, 1);
  build.schedule.instances[0].begin = build.schedule.blocks[t.h].begin;
  build.work(Phase::kForward, 1, {t.x, t.w1, t.h}, 10);
  t.r = forward(32768, 2, 1);
  build.work(Phase::kForward, 1, {t.h, t.r}, 10);
  t.z = forward(8192, 1, 1);
  build.schedule.instances[0].end = build.schedule.blocks[t.z].begin;
  build.work(Phase::kForward, 1, {t.r, t.w2, t.z}, 10);
  step.backward = build.now();
  t.dz = backward(8192, Category::kTemporary, 0);
  build.work(Phase::kBackward, 1, {t.z, t.dz}, 10);
  t.dr = backward(32768, Category::kTemporary, 3);
  build.work(Phase::kBackward, 1, {t.dz, t.w2, t.dr}, 10);
  t.g2 = backward(kWeight, Category::kGradient, 3);
  build.work(Phase::kBackward, 1, {t.dz, t.r, t.g2}, 10);
  t.dh = backward(32768, Category::kTemporary, 4);
  build.work(Phase::kBackward, 1, {t.dr, t.h, t.dh}, 10);
  t.dx = backward(8192, Category::kTemporary, 3);
  build.work(Phase::kBackward, 1, {t.dh, t.w1, t.dx}, 10);
  t.g1 = backward(kWeight, Category::kGradient, 3);
  build.work(Phase::kBackward, 1, {t.dh, t.x, t.g1}, 10);
  step.optimizer = build.now();
  const auto state = [&] {
    return build.add(2 * kWeight, 1, Phase::kOptimizer, Category::kOptimizerState,
                     BatchLaw::kFixed);
  };
  t.state = state();
  state();
  build.work(Phase::kOptimizer, 1, {t.w1, t.w2, t.g1, t.g2, t.state}, 10);
  step.end = build.now();
  step.end_ns = 110000;
  build.schedule.iterations.push_back(step);
  t.schedule = build.schedule;
  return t;
}

TEST(WhatIfParallel, tensor_parallel_splits_what_is_between_columns_and_rows) {
  TwoProducts t = two_products();
  const Schedule before = t.schedule;
  Changes changes;
  ASSERT_TRUE(tensor_parallel(t.schedule, 2, changes));
  const auto share = [&](uint32_t i) {
    return static_cast<double>(t.schedule.blocks[i].bytes) /
           static_cast<double>(before.blocks[i].bytes);
  };
  for (const uint32_t whole : {t.x, t.z, t.dz, t.dx}) EXPECT_EQ(share(whole), 1) << whole;
  for (const uint32_t part : {t.h, t.r, t.dr, t.dh, t.w1, t.w2, t.g1, t.g2, t.state}) {
    EXPECT_EQ(share(part), 0.5) << part;
  }
  EXPECT_LT(changes.extra_time, 0) << "half of the products' time is another rank's";
  EXPECT_EQ(changes.assumptions.size(), 1U);
  EXPECT_FALSE(tensor_parallel(t.schedule, 1, changes));
}

// How many blocks of so many bytes are there at once.
size_t most_at_once(const Schedule& schedule, uint64_t bytes) {
  size_t most = 0;
  for (const ScheduledBlock& at : schedule.blocks) {
    const auto alive = std::ranges::count_if(schedule.blocks, [&](const ScheduledBlock& block) {
      return block.bytes == bytes && block.begin <= at.begin && at.begin < block.end;
    });
    most = std::max(most, static_cast<size_t>(alive));
  }
  return most;
}

// Layer 1 makes A 100, layer 2 B 80.
Schedule uneven_layers() {
  Schedule schedule = two_steps();
  for (ScheduledBlock& block : schedule.blocks) {
    if (block.bytes == 100 && block.instance % 2 == 0) block.bytes = 80;
  }
  for (int64_t i = 0; i < 64; ++i) schedule.event_ns.push_back(10 * i);
  return schedule;
}

TEST(WhatIfParallel, a_stage_keeps_as_many_microbatches_as_there_are_stages_behind_it) {
  Schedule first = uneven_layers();
  Schedule last = uneven_layers();
  Changes changes;
  ASSERT_TRUE(pipeline(first, {2, 4}, 0, changes));
  EXPECT_EQ(most_at_once(first, 25), 2U) << "a quarter of A, twice";
  EXPECT_EQ(most_at_once(first, 20), 0U) << "B is the other stage's";
  EXPECT_EQ(changes.compute, 5.0 / 8) << "4 microbatches and one to fill, over 2 stages";
  ASSERT_TRUE(pipeline(last, {2, 4}, 1, changes));
  EXPECT_EQ(most_at_once(last, 20), 1U);
  EXPECT_EQ(most_at_once(last, 25), 0U);
  for (const Schedule* stage : {&first, &last}) {
    EXPECT_EQ(stage->iterations.size(), 2U);
    EXPECT_TRUE(std::ranges::is_sorted(stage->event_ns));
    EXPECT_TRUE(std::ranges::is_sorted(stage->blocks, {}, &ScheduledBlock::begin));
  }
}

TEST(WhatIfParallel, states_of_a_program_that_gave_all_back_are_there_in_each_step_of_a_stage) {
  const auto needs = [](bool gives_back) {
    Schedule schedule = uneven_layers();
    for (ScheduledBlock& block : schedule.blocks) {
      const bool state = block.category == Category::kOptimizerState;
      if (state && gives_back) block.end = schedule.iterations.back().end;
    }
    Changes changes;
    EXPECT_TRUE(pipeline(schedule, {2, 4}, 0, changes));
    return replay_peaks(schedule, "exact").value().value().allocated;
  };
  EXPECT_EQ(needs(true), needs(false));
  // Those of an optimizer that another one replaces are gone for good.
  Schedule schedule = uneven_layers();
  Changes changes;
  ASSERT_TRUE(change_optimizer(schedule, OptimizerKind::kSgd, changes));
  ASSERT_TRUE(pipeline(schedule, {2, 4}, 0, changes));
  EXPECT_EQ(bytes_of(schedule, Category::kOptimizerState), 0U);
}

TEST(WhatIfParallel,
     the_stage_that_needs_most_is_predicted_and_more_stages_than_layers_are_refused) {
  Schedule schedule = uneven_layers();
  schedule.allocator = "exact";
  WhatIf what;
  what.pipeline = {2, 2};
  const auto prediction = predict(schedule, what);
  ASSERT_TRUE(prediction) << prediction.error().message;
  uint64_t most = 0;
  for (const uint32_t stage : {0U, 1U}) {
    Schedule one = schedule;
    Changes changes;
    ASSERT_TRUE(pipeline(one, {2, 2}, stage, changes));
    most = std::max(most, replay_peaks(one, "exact").value().value().allocated);
  }
  EXPECT_EQ(prediction->predicted.allocated, most);
  what.pipeline = {3, 2};
  const auto refused = predict(schedule, what);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("only 2 layers"), std::string::npos);
  what.pipeline = {2, 2};
  what.accumulate = 2;
  EXPECT_FALSE(predict(schedule, what));
}

TEST(WhatIfParallel, float8_products_keep_8_bit_copies_of_their_inputs_alone) {
  TwoProducts t = two_products();
  Changes changes;
  ASSERT_TRUE(lower_precision(t.schedule, Precision::kFloat8, changes));
  EXPECT_EQ(t.schedule.blocks[t.x].bytes, 4096U) << "16 bits";
  EXPECT_LT(t.schedule.blocks[t.x].end, t.schedule.iterations[0].backward) << "not for backward";
  EXPECT_FALSE(t.schedule.blocks[t.x].saved);
  EXPECT_TRUE(t.schedule.blocks[t.h].saved) << "the other operator reads it";
  const auto copies = std::ranges::count_if(t.schedule.blocks, [&](const ScheduledBlock& block) {
    return block.bytes == 2048 && block.end > t.schedule.iterations[0].backward;
  });
  EXPECT_EQ(copies, 1) << "of x";
}

TEST(WhatIfParallel, gradients_in_8_bits_are_float_for_a_moment_and_one_at_a_time) {
  TwoProducts t = two_products();
  Changes changes;
  ASSERT_TRUE(quantize_gradients(t.schedule, changes));
  EXPECT_EQ(bytes_of(t.schedule, Category::kGradient), 2U * (65536 / 4 + 65536 / 256));
  const auto whole = std::ranges::count_if(t.schedule.blocks, [&](const ScheduledBlock& block) {
    return block.bytes == 65536 && block.begin > t.schedule.iterations[0].optimizer;
  });
  EXPECT_EQ(whole, 1);
  Schedule none = t.schedule;
  EXPECT_FALSE(quantize_gradients(none = Schedule{}, changes));
}

TEST(WhatIfParallel, two_traces_say_of_each_allocation_what_a_batch_costs) {
  const auto large = [](uint64_t a_fixed, double batch) {
    Schedule schedule = two_steps();
    for (ScheduledBlock& block : schedule.blocks) {
      block.bytes *= 10000;
      if (block.law == BatchLaw::kPerSample) {
        const bool a = block.bytes == 1000000;
        const uint64_t fixed = a ? a_fixed : 0;
        block.bytes =
            fixed + static_cast<uint64_t>(batch * static_cast<double>(block.bytes - fixed));
      }
    }
    return schedule;
  };
  Schedule schedule = large(400000, 1);
  const auto fit = fit_batch(schedule, large(400000, 2), 2);
  ASSERT_TRUE(fit) << fit.error().message;
  EXPECT_GT(fit->fitted, 0U);
  EXPECT_EQ(fit->unmatched, 0U);
  EXPECT_EQ(fit->not_linear, 0U);
  Changes changes;
  ASSERT_TRUE(scale_batch(schedule, 4, changes));
  const Schedule truth = large(400000, 4);
  for (size_t i = 0; i < schedule.blocks.size(); ++i) {
    EXPECT_EQ(schedule.blocks[i].bytes, truth.blocks[i].bytes) << i;
  }
  EXPECT_FALSE(fit_batch(schedule, truth, 1));
  EXPECT_FALSE(fit_batch(schedule, Schedule{}, 2));
}

}  // namespace
}  // namespace tidemark::analyzer
