#include <fmt/format.h>

#include <algorithm>

#include "recurrent.h"
#include "reductions.h"
#include "transform_parts.h"

namespace tidemark::analyzer {

namespace {

const std::string& operation_of(const Schedule& schedule, const ScheduledBlock& block) {
  return schedule.operations[block.operation];
}

// A loss in full precision takes a copy of the logits.
void add_loss_copies(Schedule& schedule, size_t i, std::vector<ScheduledBlock>& added) {
  ScheduledBlock& block = schedule.blocks[i];
  if (block.element != ElementKind::kFullFloat) return;
  const std::string& operation = operation_of(schedule, block);
  if (operation == "_log_softmax") {
    added.push_back(
        beside(block, block.bytes, block.begin - 1, block.begin + 3 * Schedule::kStride));
  } else if (operation == "LogSoftmaxBackward0") {
    added.push_back(full_gradient_of_logits(schedule, i));
    block.bytes = (block.bytes + 1) / 2;
  }
}

// Images come as full floats and are turned into the model's precision on the device.
void add_input_copy(const ScheduledBlock& block, std::vector<ScheduledBlock>& added) {
  if (block.category == Category::kInput && block.saved) {
    added.push_back(beside(block, (block.bytes + 1) / 2, block.begin + 1, block.end));
  }
}

// PyTorch prefers cuDNN's attention for 16-bit floats on Hopper and Blackwell.
bool has_cudnn_attention(const Schedule& schedule) {
  constexpr uint64_t kSmallest = 114 * 16;  // H100 PCIe
  return schedule.groups_at_once >= kSmallest;
}

}  // namespace

void merge_copies_of_attention(Schedule& schedule) {
  if (!has_cudnn_attention(schedule)) return;
  for (const DeviceWork& work : schedule.work) {
    const auto blocks = schedule.blocks_of(work);
    if (work.phase != Phase::kForward || work.iteration == 0 || blocks.size() != 2) continue;
    const auto [result, made] = std::minmax(blocks[0], blocks[1]);
    ScheduledBlock& copy = schedule.blocks[made];
    ScheduledBlock& attention = schedule.blocks[result];
    if (operation_of(schedule, copy) != "contiguous" ||
        !operation_of(schedule, attention).starts_with("_efficient_attention") ||
        attention.iteration != copy.iteration || attention.bytes != copy.bytes) {
      continue;
    }
    attention.end = std::max(attention.end, copy.end);
    attention.saved |= copy.saved;
    drop(copy);
    copy.element = ElementKind::kOther;  // nothing is made of it either
    for (uint32_t& block : schedule.work_blocks) {
      if (block == made) block = result;
    }
  }
}

bool is_reduction_scratch(const Schedule& schedule, size_t i) {
  const ScheduledBlock& block = schedule.blocks[i];
  if (block.phase != Phase::kBackward || !operation_of(schedule, block).starts_with("sum_dim")) {
    return false;
  }
  for (const DeviceWork& work : schedule.work) {
    if (work.position > block.begin + 4 * Schedule::kStride) break;
    const auto blocks = schedule.blocks_of(work);
    if (std::ranges::find(blocks, i) == blocks.end()) continue;
    uint64_t others = 0;
    for (const uint32_t other : blocks) {
      if (other != i) others += schedule.blocks[other].bytes;
    }
    return block.bytes > others;
  }
  return false;
}

ScheduledBlock full_gradient_of_logits(Schedule& schedule, size_t i) {
  ScheduledBlock& block = schedule.blocks[i];
  const int64_t next = i + 1 < schedule.blocks.size() ? schedule.blocks[i + 1].begin
                                                      : block.begin + Schedule::kStride;
  // By then what it was computed from has been given back.
  const int64_t copy = next - Schedule::kStride / 2;
  const ScheduledBlock full = beside(block, block.bytes, block.begin, copy + 1);
  block.begin = copy;
  return full;
}

Result<void> lower_precision(Schedule& schedule, Precision precision, Changes& changes) {
  if (auto steps = need_steps(schedule, "--precision"); !steps) return steps;
  merge_copies_of_attention(schedule);
  const auto sums = row_sums(schedule);
  std::vector<ScheduledBlock> added;
  if (precision != Precision::kFloat16) copy_weights_for_calls(schedule, added);
  for (ScheduledBlock& block : added) halve(block);
  for (size_t i = 0; i < schedule.blocks.size(); ++i) {
    ScheduledBlock& block = schedule.blocks[i];
    if (block.attention_pairs) {
      block.end = block.begin;  // fused attention, which full precision did not get
      continue;
    }
    if (sums.contains(static_cast<uint32_t>(i)) || is_reduction_scratch(schedule, i)) continue;
    if (block.element == ElementKind::kFloat) halve(block);
    add_loss_copies(schedule, i, added);
    add_input_copy(block, added);
  }
  schedule.blocks.insert(schedule.blocks.end(), added.begin(), added.end());
  schedule.float_bytes = 2;
  schedule.chosen_anew = true;
  changes.assumptions.push_back(fmt::format(
      "all of the model in {}: parameters, gradients, optimizer states and activations take half; "
      "statistics, masks, indices and losses in full precision stay as they are",
      precision == Precision::kFloat16 ? "float16" : "bfloat16"));
  if (precision == Precision::kFloat8) return eight_bit_products(schedule, changes);
  return {};
}

}  // namespace tidemark::analyzer
