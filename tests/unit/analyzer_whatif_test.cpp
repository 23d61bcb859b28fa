// Transforms over a schedule of one parameter and two steps:
//
//   setup   P parameter, 1000
//   step    X input 10 · A activation 100 (layer 1) · O output 50 (layer 1) · B activation 100 and
//           Q output 50 (layer 2) · backward: g 20, gradient G 1000 · optimizer: state S (first
//           step)
#include <gtest/gtest.h>

#include <algorithm>

#include "../../analyzer/whatif/large_blocks.h"
#include "schedule_builder.h"
#include "tidemark/analyzer/advise.h"
#include "tidemark/analyzer/whatif.h"

namespace tidemark::analyzer {
namespace {

using test::Builder;
using test::bytes_of;
using test::two_steps;
constexpr int64_t kStride = Schedule::kStride;

uint64_t peak(const Schedule& schedule) {
  return replay_peaks(schedule, "exact").value().value().allocated;
}

// Before the second step's last frees: P + S + X + A + O + g + loss + G.
constexpr uint64_t kPeak = 1000 + 2000 + 10 + 100 + 50 + 20 + 1 + 1000;

TEST(WhatIf, an_untouched_schedule_has_its_own_peak) { EXPECT_EQ(peak(two_steps()), kPeak); }

TEST(WhatIf, a_larger_batch_scales_what_there_is_per_sample_and_nothing_else) {
  Schedule schedule = two_steps();
  Changes changes;
  ASSERT_TRUE(scale_batch(schedule, 3, changes));
  EXPECT_EQ(peak(schedule), kPeak + 2 * (10 + 100 + 50 + 20));
  EXPECT_EQ(changes.compute, 3);
  EXPECT_EQ(changes.assumptions.size(), 1U);
}

TEST(WhatIf, a_checkpointed_layer_keeps_its_output_and_makes_the_rest_again_for_its_backward) {
  Schedule schedule = two_steps();
  Changes changes;
  ASSERT_TRUE(checkpoint(schedule, {}, changes));
  // A and B are never there at once: while gradient G is made, only layer 1's are.
  EXPECT_EQ(peak(schedule), kPeak);
  const auto recomputed = std::ranges::count_if(schedule.blocks, [](const ScheduledBlock& b) {
    return b.bytes == 100 && b.recorded_bytes != 0 && b.iteration == 2;
  });
  EXPECT_EQ(recomputed, 4) << "A and B, in forward and again in backward";
  // A and B, but not the outputs behind them, of all work of a step.
  EXPECT_NEAR(changes.extra_time, 20.0 / 120, 1e-9);
  // Without a gradient that dwarfs them the layers show.
  Schedule light = two_steps();
  for (ScheduledBlock& block : light.blocks) {
    if (block.bytes >= 1000) block.bytes = 1;
  }
  const uint64_t before = peak(light);
  ASSERT_TRUE(checkpoint(light, {}, changes));
  EXPECT_EQ(before - peak(light), 100U) << "one of the two activations";
}

TEST(WhatIf, momentum_and_plain_sgd_take_one_state_and_none) {
  Schedule sgd = two_steps();
  Schedule momentum = two_steps();
  Changes changes;
  ASSERT_TRUE(change_optimizer(sgd, OptimizerKind::kSgd, changes));
  ASSERT_TRUE(change_optimizer(momentum, OptimizerKind::kMomentum, changes));
  EXPECT_EQ(peak(sgd), kPeak - 2000);
  EXPECT_EQ(peak(momentum), kPeak - 1000);
}

TEST(WhatIf, kept_gradients_meet_the_next_ones) {
  Schedule schedule = two_steps();
  Changes changes;
  ASSERT_TRUE(keep_gradients(schedule, changes));
  EXPECT_EQ(peak(schedule), kPeak + 1000);
}

TEST(WhatIf, accumulation_adds_gradients_up_before_the_optimizer) {
  Schedule schedule = two_steps();
  Changes changes;
  ASSERT_TRUE(accumulate(schedule, 3, changes));
  EXPECT_EQ(peak(schedule), kPeak + 1000) << "the next micro-batch's beside the one it is added to";
  EXPECT_EQ(changes.compute, 3);
  EXPECT_FALSE(accumulate(schedule, 0, changes));
}

TEST(WhatIf, half_precision_halves_floats_alone) {
  Schedule schedule = two_steps();
  for (ScheduledBlock& block : schedule.blocks) {
    if (block.category == Category::kInput) block.element = ElementKind::kOther;
    if (block.bytes == 1) block.element = ElementKind::kFullFloat;
  }
  Changes changes;
  ASSERT_TRUE(lower_precision(schedule, Precision::kBfloat16, changes));
  EXPECT_EQ(peak(schedule), 10 + 1 + (kPeak - 10 - 1) / 2);
}

// One step: X (full floats) meets the weight in a product Y, whose backward reads both.
//
//   forward   X 8000 "add" · Y 6000 "addmm"     backward   g 8000 and G 4000 of "AddmmBackward0"
Schedule one_product() {
  Builder build;
  build.schedule.operations = {"", "add_Tensor", "addmm", "AddmmBackward0"};
  build.schedule.calls.emplace_back();
  const auto add = [&](uint64_t bytes, Phase phase, Category category, uint32_t operation) {
    const uint32_t block =
        build.add(bytes, phase == Phase::kSetup ? 0 : 1, phase, category, BatchLaw::kPerSample);
    build.schedule.blocks[block].operation = operation;
    return block;
  };
  const uint32_t weight = add(4000, Phase::kSetup, Category::kParameter, 0);
  ScheduledStep times;
  times.begin = build.now();
  const uint32_t x = add(8000, Phase::kForward, Category::kActivation, 1);
  build.work(Phase::kForward, 1, {weight, x}, 10);
  const uint32_t y = add(6000, Phase::kForward, Category::kActivation, 2);
  build.work(Phase::kForward, 1, {weight, x, y}, 10);
  times.backward = build.now();
  const uint32_t g = add(8000, Phase::kBackward, Category::kTemporary, 3);
  build.work(Phase::kBackward, 1, {weight, y, g}, 10);
  const uint32_t gradient = add(4000, Phase::kBackward, Category::kGradient, 3);
  build.work(Phase::kBackward, 1, {x, y, gradient}, 10);
  build.end(y);
  build.end(x);
  build.end(g);
  times.optimizer = build.now();
  build.work(Phase::kOptimizer, 1, {weight, gradient}, 10);
  build.end(gradient);
  times.end = build.now();
  build.schedule.iterations.push_back(times);
  return build.schedule;
}

TEST(WhatIf, autocast_keeps_16_bit_copies_of_what_products_read_in_place_of_it) {
  Schedule schedule = one_product();
  Changes changes;
  ASSERT_EQ(peak(schedule), 4000U + 8000 + 6000 + 8000 + 4000);
  ASSERT_TRUE(autocast(schedule, Precision::kBfloat16, changes));
  // W, its copy, X's copy (X itself was given back), Y, g in X's precision, G.
  EXPECT_EQ(peak(schedule), 4000U + 2000 + 4000 + 3000 + 8000 + 4000);
  EXPECT_EQ(changes.unknown.size(), 1U) << "what 16 bits do to the time";
  Schedule unknown = one_product();
  unknown.work.clear();
  EXPECT_FALSE(autocast(unknown, Precision::kBfloat16, changes)) << "no kernels, no products";
}

// One layer of one product: a weight of 64 x 64, 32 rows go in and come out; Adam's states.
Schedule one_layer() {
  Builder build;
  build.schedule.operations = {"", "addmm"};
  build.schedule.calls.emplace_back();
  build.schedule.instances.push_back({"Layer", 1, 0, 0});
  const uint32_t weight =
      build.add(16384, 0, Phase::kSetup, Category::kParameter, BatchLaw::kFixed);
  ScheduledStep times;
  times.begin = build.now();
  const uint32_t x =
      build.add(8192, 1, Phase::kForward, Category::kActivation, BatchLaw::kPerSample);
  build.work(Phase::kForward, 1, {x}, 10);
  const uint32_t y =
      build.add(8192, 1, Phase::kForward, Category::kActivation, BatchLaw::kPerSample, 1);
  build.schedule.blocks[y].operation = 1;
  build.schedule.instances[0].begin = build.schedule.instances[0].end =
      build.schedule.blocks[y].begin;
  build.work(Phase::kForward, 1, {weight, x, y}, 10);
  times.backward = build.now();
  const uint32_t gradient =
      build.add(16384, 1, Phase::kBackward, Category::kGradient, BatchLaw::kFixed);
  build.work(Phase::kBackward, 1, {x, y, gradient}, 10);
  build.end(y);
  build.end(x);
  times.optimizer = build.now();
  const uint32_t state =
      build.add(32768, 1, Phase::kOptimizer, Category::kOptimizerState, BatchLaw::kFixed);
  build.work(Phase::kOptimizer, 1, {weight, gradient, state}, 10);
  build.end(gradient);
  times.end = build.now();
  build.schedule.iterations.push_back(times);
  return build.schedule;
}

TEST(WhatIf, adapters_alone_have_gradients_and_states) {
  Schedule schedule = one_layer();
  Changes changes;
  ASSERT_TRUE(low_rank_adapters(schedule, 4, changes));
  const uint64_t adapters = 4 * (64 + 64) * 4;
  EXPECT_EQ(bytes_of(schedule, Category::kParameter), 16384 + adapters);
  EXPECT_EQ(bytes_of(schedule, Category::kGradient), adapters);
  EXPECT_EQ(bytes_of(schedule, Category::kOptimizerState), 2 * adapters);
}

TEST(WhatIf, factored_weights_shrink_with_all_that_is_kept_for_them) {
  Schedule schedule = one_layer();
  Changes changes;
  ASSERT_TRUE(factor_weights(schedule, 8, changes));
  EXPECT_EQ(bytes_of(schedule, Category::kParameter), 16384U / 4) << "8 x (64 + 64) of 64 x 64";
  EXPECT_EQ(bytes_of(schedule, Category::kGradient), 16384U / 4);
  EXPECT_EQ(bytes_of(schedule, Category::kOptimizerState), 32768U / 4);
}

TEST(WhatIf, quantized_weights_are_bits_and_scales_and_learn_nothing) {
  Schedule schedule = one_layer();
  Changes changes;
  ASSERT_TRUE(quantize_weights(schedule, {4, 64}, changes));
  EXPECT_EQ(bytes_of(schedule, Category::kParameter), 64U * 64 / 2 + 64 * 4);
  EXPECT_EQ(bytes_of(schedule, Category::kGradient), 0U);
  EXPECT_EQ(bytes_of(schedule, Category::kOptimizerState), 0U);
}

TEST(WhatIf, masks_save_nothing_and_a_narrower_layer_does) {
  Schedule masked = one_layer();
  Schedule narrow = one_layer();
  Changes changes;
  ASSERT_TRUE(mask_weights(masked, 0.5, changes));
  EXPECT_EQ(bytes_of(masked, Category::kParameter), 3U * 16384);
  ASSERT_TRUE(prune_widths(narrow, 0.5, changes));
  EXPECT_EQ(bytes_of(narrow, Category::kParameter), 16384U / 2);
  EXPECT_EQ(bytes_of(narrow, Category::kActivation), 8192U) << "what went in and came out, halved";
  EXPECT_FALSE(mask_weights(masked, 1.5, changes));
}

TEST(WhatIf, backward_ends_behind_frozen_layers) {
  Schedule schedule = two_steps();
  Changes changes;
  ASSERT_TRUE(freeze(schedule, 0.5, changes));
  // P, X, and of the second layer B and Q, where g is made and the loss is there.
  EXPECT_EQ(peak(schedule), 1000U + 10 + 100 + 50 + 20 + 1);
  EXPECT_NEAR(changes.extra_time, -30.0 / 120, 1e-9) << "the first layer's backward";
}

TEST(WhatIf, inference_keeps_nothing_for_backward) {
  Schedule schedule = two_steps();
  Changes changes;
  ASSERT_TRUE(inference(schedule, changes));
  EXPECT_EQ(peak(schedule), 1000U + 10 + 100 + 50) << "P, X, and a layer's two";
  EXPECT_NEAR(changes.extra_time, -70.0 / 120, 1e-9);
}

TEST(WhatIf, gradients_are_given_back_at_once_where_the_optimizer_works_in_backward) {
  Schedule schedule = two_steps();
  Changes changes;
  ASSERT_TRUE(fuse_backward(schedule, changes));
  for (const ScheduledBlock& block : schedule.blocks) {
    if (block.category != Category::kGradient) continue;
    EXPECT_LE(block.end - block.begin, kStride);
  }
}

TEST(WhatIf, all_pairs_of_positions_grow_with_the_square_of_the_length) {
  Schedule schedule = two_steps();
  for (ScheduledBlock& block : schedule.blocks) block.attention_pairs = block.bytes == 100;
  Changes changes;
  ASSERT_TRUE(scale_sequence(schedule, 2, changes));
  EXPECT_EQ(peak(schedule), kPeak + 10 + 3 * 100 + 50 + 20);
}

TEST(WhatIf, the_rest_of_the_host_is_exact_at_each_moment_though_only_a_few_blocks) {
  // Events of large blocks at 100, 200 and 300; small ones between, before and behind them.
  const std::vector<int64_t> events{100, 200, 300};
  const std::vector<SmallChange> small{{50, 10},  {110, 5},   {120, 7},   {130, -7}, {150, 8},
                                       {210, 90}, {220, -95}, {305, -10}, {310, 2}};
  Schedule schedule;
  schedule.blocks = blocks_of_rest(events, small);
  const auto at = [&](int64_t position) {
    uint64_t bytes = 0;
    for (const ScheduledBlock& block : schedule.blocks) {
      if (block.begin <= position && position < block.end) bytes += block.bytes;
    }
    return bytes;
  };
  EXPECT_EQ(at(-1), 10U);
  EXPECT_EQ(at(kStride - 1), 23U);
  EXPECT_EQ(at(2 * kStride - 1), 18U);
  EXPECT_EQ(at(4 * kStride), 10U);
  EXPECT_EQ(peak(schedule), 113U) << "in the middle of the second gap";
}

TEST(WhatIf, what_a_module_is_called_with_is_held_until_the_call_returns) {
  Builder build;
  const auto make = [&](uint32_t stack) {
    const uint32_t block =
        build.add(100, 1, Phase::kForward, Category::kActivation, BatchLaw::kPerSample);
    build.schedule.blocks[block].stack = stack;
    return block;
  };
  ScheduledStep step;
  step.begin = build.now();
  const uint32_t given = make(1);  // in the model, and handed to its block
  const uint32_t first = make(2);
  build.work(Phase::kForward, 1, {given, first}, 1);
  const uint32_t second = make(2);
  build.work(Phase::kForward, 1, {first, second}, 1);
  const uint32_t third = make(2);
  build.work(Phase::kForward, 1, {second, third}, 1);
  const uint32_t behind = make(1);
  build.work(Phase::kForward, 1, {third, behind}, 1);
  step.backward = step.optimizer = step.end = build.now();
  build.schedule.iterations.push_back(step);
  build.schedule.operations = {""};
  build.schedule.calls = {{}, {{"Model", 1}}, {{"Model", 1}, {"Block", 2}}};
  Changes changes;
  ASSERT_TRUE(inference(build.schedule, changes));
  const auto& blocks = build.schedule.blocks;
  EXPECT_GT(blocks[given].end, blocks[third].begin);
  EXPECT_LT(blocks[given].end, blocks[behind].begin);
  EXPECT_LT(blocks[first].end, blocks[third].begin) << "made in the call, it is let go of";
}

TEST(WhatIf, what_waits_on_the_host_costs_its_way_there_and_back) {
  Schedule schedule = two_steps();
  schedule.link_bytes_per_second = 1e9;
  schedule.iterations[0].end_ns = 1200;
  Schedule states = schedule;
  Changes changes;
  ASSERT_TRUE(offload_activations(schedule, changes));
  // A, O, B and Q, 300 bytes each way at a byte a nanosecond, of a step of 1200 ns.
  EXPECT_NEAR(changes.extra_time, 0.5, 1e-9);
  Changes of_states;
  ASSERT_TRUE(offload_optimizer(states, of_states));
  EXPECT_EQ(peak(states), kPeak - 2000);
  EXPECT_EQ(of_states.unknown.size(), 1U) << "the host's step";
}

TEST(WhatIf, what_asks_before_the_layer_behind_is_a_stale_address) {
  // A kernel of layer 2's backward, in the second step, is also handed layer 1's activation A.
  const auto recomputed_at = [](bool stale) {
    Schedule schedule = two_steps();
    const auto layer = [&](uint32_t number) { return 2 + number; };  // of the second step
    uint32_t a = 0;
    for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
      if (schedule.blocks[i].instance == layer(1) && schedule.blocks[i].bytes == 100) a = i;
    }
    DeviceWork work;
    work.phase = Phase::kBackward;
    work.iteration = 2;
    work.position = schedule.iterations[1].backward - kStride;  // before any of layer 2's
    work.first_block = static_cast<uint32_t>(schedule.work_blocks.size());
    work.blocks = stale ? 1 : 0;
    schedule.work_blocks.push_back(a);
    const auto before = std::ranges::find_if(schedule.work, [](const DeviceWork& w) {
      return w.iteration == 2 && w.phase == Phase::kBackward;
    });
    schedule.work.insert(before, work);
    Changes changes;
    EXPECT_TRUE(checkpoint(schedule, {}, changes));
    for (const ScheduledBlock& block : schedule.blocks) {
      const bool again = block.origin == trace::AllocationId{} && block.bytes == 100;
      if (again && block.instance == layer(1) && block.begin > schedule.iterations[1].backward) {
        return block.begin;
      }
    }
    return int64_t{0};
  };
  EXPECT_GT(recomputed_at(false), 0);
  EXPECT_EQ(recomputed_at(true), recomputed_at(false));
}

TEST(WhatIf, a_norm_called_in_the_line_of_the_layers_is_no_layer) {
  Schedule schedule;
  schedule.iterations.push_back({0, 100 * kStride, 100 * kStride, 100 * kStride, 0, 0});
  // Encoder.forward: self.norm(self.layers(x)), where layers is a Sequential of two blocks.
  const ForwardCall encoder{"Encoder", 1};
  schedule.calls = {
      {encoder, {"Add", 4}}, {encoder, {"Sequential", 2}, {"Block", 3}}, {encoder, {"Norm", 2}}};
  schedule.operations = {""};
  for (const uint32_t stack : {0U, 1U, 1U, 2U}) {
    ScheduledBlock block;
    block.bytes = 1;
    block.iteration = 1;
    block.phase = Phase::kForward;
    block.stack = stack;
    block.begin = static_cast<int64_t>(schedule.blocks.size()) * kStride;
    schedule.blocks.push_back(block);
  }
  ASSERT_TRUE(find_layers(schedule, ""));
  ASSERT_EQ(schedule.instances.size(), 2U);
  EXPECT_EQ(schedule.instances[0].name, "Block");
  EXPECT_EQ(schedule.instances[1].name, "Block");
}

// The gradient of a bias on an H100 (132 multiprocessors of 16 such groups): 3152 rows of 3072
// floats took 50 groups a column; 12608 rows would take 197, but 88 fill the device.
TEST(WhatIf, the_scratch_of_a_sum_over_rows_grows_only_until_the_device_is_full) {
  Builder build;
  build.schedule.operations = {"", "GeluBackward0", "sum_dim_IntList"};
  build.schedule.calls.emplace_back();
  build.schedule.groups_at_once = 132 * 16;
  ScheduledStep step;
  const auto add = [&](uint64_t bytes, BatchLaw law, uint32_t operation) {
    const uint32_t block = build.add(bytes, 1, Phase::kBackward, Category::kTemporary, law);
    build.schedule.blocks[block].operation = operation;
    return block;
  };
  const uint32_t matrix = add(3152 * 3072 * 4, BatchLaw::kPerSample, 1);
  const uint32_t sums = add(3072 * 4, BatchLaw::kFixed, 2);
  const uint32_t scratch = add(3072 * 4 * 128 * 50, BatchLaw::kPerSample, 2);
  build.work(Phase::kBackward, 1, {matrix, sums, scratch}, 10);
  step.end = build.now();
  build.schedule.iterations.push_back(step);
  Changes changes;
  ASSERT_TRUE(scale_batch(build.schedule, 4, changes));
  EXPECT_EQ(build.schedule.blocks[matrix].bytes, 4U * 3152 * 3072 * 4);
  EXPECT_EQ(build.schedule.blocks[scratch].bytes, 3072U * 4 * 128 * 88);
}

TEST(WhatIf, of_a_scratch_with_a_fixed_part_the_rest_follows_the_batch) {
  Schedule schedule = two_steps();
  for (ScheduledBlock& block : schedule.blocks) {
    if (block.bytes == 20) block.fixed_bytes = 15;
  }
  Changes changes;
  ASSERT_TRUE(scale_batch(schedule, 3, changes));
  EXPECT_EQ(peak(schedule), kPeak + 2 * (10 + 100 + 50 + 5));
}

// Without parameters that dwarf the layers.
Schedule light_steps() {
  Schedule light = two_steps();
  for (ScheduledBlock& block : light.blocks) {
    if (block.bytes >= 1000) block.bytes = block.recorded_bytes = 1;
  }
  light.allocator = "exact";
  return light;
}

// What fit_of asks for.
uint64_t room_for(uint64_t reserved) { return reserved + reserved / 10 + (uint64_t{768} << 20); }

TEST(WhatIf, planned_checkpoints_are_as_few_as_fit) {
  const Schedule light = light_steps();
  const uint64_t most = peak(light);
  WhatIf what;
  what.checkpoint.emplace();
  what.checkpoint->fit = room_for(most);
  EXPECT_EQ(predict(light, what).value().planned_layers, 0U);
  what.checkpoint->fit = room_for(most - 100);
  const auto planned = predict(light, what);
  ASSERT_TRUE(planned);
  EXPECT_GT(planned->planned_layers, 0U);
  EXPECT_EQ(planned->plans.size(), 3U) << "none, one and both layers";
  what.checkpoint->fit = 1000;
  const auto none = predict(light, what);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("no plan fits"), std::string::npos);
}

TEST(WhatIf, advice_fits_and_comes_cheapest_first) {
  const Schedule light = light_steps();
  const auto list = advise(light, room_for(peak(light) - 60));
  ASSERT_TRUE(list);
  EXPECT_NE(list->fits_untouched, Fit::kFits);
  ASSERT_FALSE(list->choices.empty());
  EXPECT_LE(list->choices.size(), AdviceList::kMost);
  double time = 0;
  for (const Advice& choice : list->choices) {
    EXPECT_EQ(fit_of(choice.prediction, list->capacity), Fit::kFits);
    EXPECT_GE(choice.prediction.time_ratio() + 0.005, time);
    EXPECT_FALSE(choice.changes.empty());
    time = choice.prediction.time_ratio();
  }
  EXPECT_LT(list->largest_batch, 1);
  EXPECT_GT(list->largest_batch_with_choice, list->largest_batch);
  EXPECT_FALSE(advise(Schedule{}, 1000));
}

TEST(WhatIf, the_changed_schedule_is_what_is_predicted_and_repeated_parts_take_their_time) {
  Schedule light = light_steps();
  for (int64_t i = 0; i < 64; ++i) light.event_ns.push_back(10 * i);
  WhatIf what;
  what.batch = 2;
  what.accumulate = 2;
  const auto changed = change(light, what);
  ASSERT_TRUE(changed);
  EXPECT_EQ(peak(changed->schedule), predict(light, what).value().predicted.allocated);
  EXPECT_GT(changed->schedule.event_ns.size(), light.event_ns.size());
  EXPECT_TRUE(std::ranges::is_sorted(changed->schedule.event_ns));
}

TEST(WhatIf, what_a_schedule_does_not_show_is_said) {
  Schedule empty;
  Changes changes;
  const auto batch = scale_batch(empty, 2, changes);
  ASSERT_FALSE(batch);
  EXPECT_NE(batch.error().message.find("--batch needs training steps"), std::string::npos);
  Schedule layerless = two_steps();
  layerless.instances.clear();
  EXPECT_FALSE(checkpoint(layerless, {}, changes));
  const auto named = find_layers(layerless, "Decoder");
  ASSERT_FALSE(named);
  EXPECT_NE(named.error().message.find("no module of class Decoder"), std::string::npos);
}

TEST(WhatIf, fits_is_said_only_where_the_error_and_the_context_have_room) {
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  Prediction prediction;
  prediction.predicted.reserved = 10 * kGiB;
  prediction.beside_pool_bytes = kGiB;
  EXPECT_EQ(fit_of(prediction, 11 * kGiB - 1), Fit::kDoesNotFit);
  EXPECT_EQ(fit_of(prediction, 12 * kGiB), Fit::kTooCloseToTell);
  EXPECT_EQ(fit_of(prediction, 13 * kGiB), Fit::kFits);
}

// A 30 MiB, given back before B 40 MiB comes: a pool without a limit keeps both segments.
TEST(WhatIf, it_does_not_fit_only_where_the_pool_giving_back_what_it_keeps_would_not_help) {
  constexpr uint64_t kMiB = uint64_t{1} << 20;
  Builder build;
  const uint32_t a =
      build.add(30 * kMiB, 1, Phase::kForward, Category::kActivation, BatchLaw::kPerSample);
  build.end(a);
  build.add(40 * kMiB, 1, Phase::kForward, Category::kTemporary, BatchLaw::kPerSample);
  const auto prediction = predict(build.schedule, {}, 45 * kMiB);
  ASSERT_TRUE(prediction);
  EXPECT_EQ(prediction->predicted.reserved, 70 * kMiB);
  EXPECT_EQ(prediction->least_pool_bytes, 40 * kMiB);
  EXPECT_EQ(fit_of(*prediction, 45 * kMiB), Fit::kTooCloseToTell);
  EXPECT_EQ(fit_of(*prediction, 39 * kMiB), Fit::kDoesNotFit);
  EXPECT_EQ(safe_pool_bytes(*prediction), 77 * kMiB);
}

TEST(WhatIf, what_is_there_at_the_peak_is_known_by_category) {
  Schedule schedule = two_steps();
  schedule.allocator = "exact";
  const auto at_peak = categories_at_peak(schedule);
  ASSERT_TRUE(at_peak);
  const auto of = [&](Category category) { return (*at_peak)[static_cast<size_t>(category)]; };
  EXPECT_EQ(of(Category::kParameter), 1000U);
  EXPECT_EQ(of(Category::kOptimizerState), 2000U);
  EXPECT_EQ(of(Category::kActivation), 150U);
  WhatIf what;
  what.optimizer = OptimizerKind::kMomentum;
  const auto prediction = predict(schedule, what);
  ASSERT_TRUE(prediction);
  EXPECT_EQ(prediction->at_peak[static_cast<size_t>(Category::kOptimizerState)], 1000U);
}

TEST(WhatIf, where_libraries_choose_anew_more_room_is_asked_for) {
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  Schedule schedule = two_steps();
  Changes changes;
  ASSERT_TRUE(scale_batch(schedule, 2, changes));
  EXPECT_EQ(changes.reserved_band, 0.1);
  schedule.operations.emplace_back("cudnn_convolution");
  ASSERT_TRUE(scale_batch(schedule, 2, changes));
  EXPECT_EQ(changes.reserved_band, 0.3);
  EXPECT_EQ(changes.unknown.size(), 1U);
  Prediction prediction;
  prediction.predicted.reserved = 10 * kGiB;
  EXPECT_EQ(fit_of(prediction, 12 * kGiB), Fit::kFits);
  prediction.changes = changes;
  EXPECT_EQ(fit_of(prediction, 12 * kGiB), Fit::kTooCloseToTell);
}

TEST(WhatIf, errors_are_signed_fractions_of_the_peak_and_of_the_change) {
  Prediction prediction;
  prediction.recorded = {100, 200};
  prediction.predicted = {150, 300};
  prediction.measured = PeakBytes{140, 300};
  const PredictionError error = error_of(prediction);
  EXPECT_NEAR(error.peak_allocated, 10.0 / 140, 1e-9);
  EXPECT_EQ(error.peak_reserved, 0);
  EXPECT_NEAR(error.change_allocated.value(), 0.25, 1e-9);
}

}  // namespace
}  // namespace tidemark::analyzer
