// Eight bits an element, for what products read and for gradients.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

// One byte an element and a scale of 4 bytes for each 256 of them.
constexpr double kBytesAnElement = 1 + 4.0 / 256;

// What something else in backward reads than the product of a weight's gradient.
std::vector<bool> read_by_others(const Schedule& schedule) {
  std::vector<bool> others(schedule.blocks.size());
  for (const DeviceWork& work : schedule.work) {
    if (work.phase != Phase::kBackward) continue;
    const auto blocks = schedule.blocks_of(work);
    const bool gradient = std::ranges::any_of(
        blocks, [&](uint32_t i) { return schedule.blocks[i].category == Category::kGradient; });
    if (gradient) continue;
    for (const uint32_t i : blocks) others[i] = true;
  }
  return others;
}

}  // namespace

Result<void> eight_bit_products(Schedule& schedule, Changes& changes) {
  if (auto known = need_work(schedule, "--precision fp8"); !known) return known;
  const auto products = products_of(schedule);
  if (products.empty()) {
    return fail(
        "--precision fp8: no matrix products with weights within layers that repeat were recorded");
  }
  const auto uses = uses_of(schedule);
  const auto others = read_by_others(schedule);
  std::set<uint32_t> copied;
  std::vector<ScheduledBlock> added;
  for (const WeightProduct& product : products) {
    const ScheduledBlock output = schedule.blocks[product.output];
    ScheduledBlock& input = schedule.blocks[product.input];
    const int64_t back = uses[product.input].first_backward;
    if (copied.insert(product.input).second) {
      const int64_t until = std::max(uses[product.input].last_backward, output.begin) + 1;
      added.push_back(beside(input, (input.bytes + 1) / 2, output.begin - 1, until));
      added.back().category = Category::kActivation;
      if (input.saved && !others[product.input]) {
        const int64_t last = std::max(uses[product.input].last_forward, input.begin);
        input.end = std::min(input.end, last + 2);
        input.saved = false;
      }
    }
    // The weight's copy is made for each product, and again in backward.
    const uint64_t weight = (schedule.blocks[product.weight].bytes + 1) / 2;
    added.push_back(beside(output, weight, output.begin - 1, output.begin + 1));
    added.back().law = BatchLaw::kFixed;
    if (back == ScheduledBlock::kForever) continue;
    added.push_back(beside(output, weight, back - 1, back + 1));
    added.back().law = BatchLaw::kFixed;
  }
  schedule.blocks.insert(schedule.blocks.end(), added.begin(), added.end());
  changes.assumptions.push_back(
      fmt::format("{} products of the layers read 8-bit copies (float8, one scale a tensor) of "
                  "their inputs, which "
                  "backward keeps in place of them, and of their weights, made for each product; "
                  "the rest of the "
                  "model is in bfloat16",
                  products.size()));
  changes.unknown.emplace_back(
      "how much faster 8-bit products are, and what converting to them takes");
  return {};
}

Result<void> quantize_gradients(Schedule& schedule, Changes& changes) {
  if (auto steps = need_steps(schedule, "--quantize gradients"); !steps) return steps;
  std::vector<ScheduledBlock> added;
  std::vector<uint64_t> largest(schedule.iterations.size() + 1);
  for (ScheduledBlock& block : schedule.blocks) {
    const int64_t stored = block.begin + Schedule::kStride;
    if (block.category != Category::kGradient || block.iteration == 0 || block.end <= stored)
      continue;
    largest[block.iteration] = std::max(largest[block.iteration], block.bytes);
    const uint64_t small = scaled(block.bytes, kBytesAnElement / schedule.float_bytes);
    added.push_back(beside(block, small, stored - 1, block.end));
    added.back().category = Category::kGradient;
    block.end = stored;  // float for a moment
    block.category = Category::kTemporary;
  }
  if (added.empty())
    return fail("--quantize gradients: the trace shows no gradients that are kept");
  for (size_t i = 0; i < schedule.iterations.size(); ++i) {
    const ScheduledStep& step = schedule.iterations[i];
    if (largest[i + 1] == 0 || step.optimizer + 1 >= step.end) continue;
    ScheduledBlock whole;
    whole.bytes = largest[i + 1];
    whole.begin = step.optimizer + 1;
    whole.end = step.end - 1;
    whole.iteration = static_cast<uint32_t>(i + 1);
    whole.phase = Phase::kOptimizer;
    whole.category = Category::kTemporary;
    added.push_back(whole);
  }
  schedule.blocks.insert(schedule.blocks.end(), added.begin(), added.end());
  changes.assumptions.emplace_back(
      "gradients are kept in 8 bits with a scale for each 256 elements from when backward has made "
      "them, and made float for the optimizer one parameter at a time");
  changes.unknown.emplace_back(
      "the time of converting gradients twice, and what rounding does to training");
  return {};
}

}  // namespace tidemark::analyzer
