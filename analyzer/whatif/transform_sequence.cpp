#include <fmt/format.h>

#include "reductions.h"
#include "transform_parts.h"

namespace tidemark::analyzer {

Result<void> scale_sequence(Schedule& schedule, double factor, Changes& changes) {
  if (auto steps = need_steps(schedule, "--sequence"); !steps) return steps;
  const auto sums = row_sums(schedule);
  bool pairs = false;
  for (ScheduledBlock& block : schedule.blocks) {
    if (block.law != BatchLaw::kPerSample) continue;
    pairs = pairs || block.attention_pairs;
    scale_samples(block, block.attention_pairs ? factor * factor : factor);
  }
  scale_row_sums(schedule, sums, factor);
  schedule.chosen_anew |= factor != 1;
  changes.compute *= factor;
  changes.assumptions.push_back(fmt::format(
      "{:.4g}x the length: what grows with the batch grows with it{}; tables of positions stay",
      factor, pairs ? ", and with its square where attention holds all pairs of positions" : ""));
  changes.unknown.emplace_back("attention's share of the time, which grows with the square");
  return {};
}

Result<void> quantize_activations(Schedule& schedule, Changes& changes) {
  if (auto known = need_work(schedule, "--quantize activations"); !known) return known;
  const auto uses = uses_of(schedule);
  std::vector<ScheduledBlock> added;
  for (uint32_t i = 0; i < uses.size(); ++i) {
    ScheduledBlock& block = schedule.blocks[i];
    if (block.iteration == 0 || !block.saved || block.element != ElementKind::kFloat ||
        block.category != Category::kActivation ||
        uses[i].first_backward == ScheduledBlock::kForever) {
      continue;
    }
    // One byte an element and a scale of 4 bytes for each 256 of them.
    const auto bytes = scaled(block.bytes, (1 + 4.0 / 256) / schedule.float_bytes);
    const int64_t stored = std::max(uses[i].last_forward, block.begin) + 1;
    const int64_t restored = uses[i].first_backward - Schedule::kStride / 2;
    if (restored <= stored) continue;
    ScheduledBlock small = beside(block, bytes, stored, restored + 1);
    small.category = Category::kActivation;
    ScheduledBlock whole = block;
    whole.origin = {};
    whole.begin = restored;
    block.end = stored + 1;
    block.saved = false;
    added.push_back(small);
    added.push_back(whole);
  }
  schedule.blocks.insert(schedule.blocks.end(), added.begin(), added.end());
  changes.assumptions.emplace_back(
      "saved activations are kept in 8 bits with a scale for each 256 elements "
      "(saved_tensors_hooks), "
      "and made float when backward asks for them");
  changes.unknown.emplace_back("the time of converting saved activations twice");
  return {};
}

}  // namespace tidemark::analyzer
