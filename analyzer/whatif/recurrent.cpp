#include "recurrent.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

constexpr uint64_t kRoom = uint64_t{16} << 20;
constexpr std::string_view kForward = "_cudnn_rnn";
constexpr std::string_view kFlatten = "_cudnn_rnn_flatten_weight";

const std::string& operation_of(const Schedule& schedule, uint32_t i) {
  return schedule.operations[schedule.blocks[i].operation];
}

// Given back before the call's results are used.
bool is_scratch(const Schedule& schedule, uint32_t i) {
  const ScheduledBlock& block = schedule.blocks[i];
  const std::string& operation = operation_of(schedule, i);
  return (operation == kForward || operation.starts_with("CudnnRnnBackward")) &&
         block.law == BatchLaw::kPerSample && !block.saved &&
         block.category != Category::kGradient && block.end <= block.begin + 2 * Schedule::kStride;
}

// Or their gradients, which are as large.
bool is_weights(const Schedule& schedule, uint32_t i) {
  const ScheduledBlock& block = schedule.blocks[i];
  return block.law == BatchLaw::kFixed &&
         (block.category == Category::kParameter || block.category == Category::kGradient ||
          operation_of(schedule, i) == kForward);
}

std::optional<uint32_t> reserve_behind(const Schedule& schedule, uint32_t scratch) {
  const uint32_t next = scratch + 1;
  if (next >= schedule.blocks.size() || operation_of(schedule, next) != kForward) return {};
  const ScheduledBlock& block = schedule.blocks[next];
  const bool same_call = block.begin == schedule.blocks[scratch].begin + Schedule::kStride;
  return same_call && block.saved ? std::optional(next) : std::nullopt;
}

}  // namespace

std::vector<RecurrentCall> recurrent_calls(const Schedule& schedule) {
  std::map<uint32_t, uint32_t> weights;  // of each scratch
  for (const DeviceWork& work : schedule.work) {
    if (work.iteration == 0) continue;
    const auto blocks = schedule.blocks_of(work);
    for (const uint32_t i : blocks) {
      if (!is_scratch(schedule, i)) continue;
      for (const uint32_t other : blocks) {
        if (!is_weights(schedule, other)) continue;
        const auto [known, fresh] = weights.try_emplace(i, other);
        if (schedule.blocks[other].bytes > schedule.blocks[known->second].bytes) {
          known->second = other;
        }
      }
    }
  }
  std::vector<RecurrentCall> calls;
  for (const auto& [scratch, of_call] : weights) {
    calls.push_back({scratch, of_call, reserve_behind(schedule, scratch)});
  }
  return calls;
}

void assign_recurrent_laws(Schedule& schedule) {
  for (const RecurrentCall& call : recurrent_calls(schedule)) {
    ScheduledBlock& scratch = schedule.blocks[call.scratch];
    const uint64_t weights = schedule.blocks[call.weights].bytes;
    if (weights > scratch.bytes) continue;
    scratch.raw_bytes = weights + kRoom <= scratch.bytes ? kRoom : 0;
    scratch.fixed_bytes = weights + scratch.raw_bytes;
  }
}

namespace {

// What a flattened block was made from: given back one after the other behind it.
std::vector<uint32_t> flattened_from(const Schedule& schedule, uint32_t flat) {
  std::map<int64_t, uint32_t> ends;
  for (uint32_t i = 0; i < flat; ++i) {
    if (schedule.blocks[i].iteration == 0) ends.emplace(schedule.blocks[i].end, i);
  }
  std::vector<uint32_t> parts;
  uint64_t bytes = 0;
  int64_t at = schedule.blocks[flat].begin;
  while (bytes < schedule.blocks[flat].bytes) {
    const auto part = ends.find(at += Schedule::kStride);
    if (part == ends.end()) return {};
    parts.push_back(part->second);
    bytes += schedule.blocks[part->second].bytes;
  }
  return parts;
}

}  // namespace

void copy_weights_for_calls(Schedule& schedule, std::vector<ScheduledBlock>& added) {
  for (const RecurrentCall& call : recurrent_calls(schedule)) {
    const ScheduledBlock& scratch = schedule.blocks[call.scratch];
    const bool copied = operation_of(schedule, call.weights) == kForward;
    if (scratch.phase != Phase::kForward || copied) continue;
    const int64_t end = call.reserve ? schedule.blocks[*call.reserve].end + 1 : scratch.end + 1;
    added.push_back(beside(schedule.blocks[call.weights], schedule.blocks[call.weights].bytes,
                           scratch.begin - 1, end));
    added.back().iteration = scratch.iteration;
    added.back().phase = scratch.phase;
  }
  for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
    if (operation_of(schedule, i) != kFlatten) continue;
    const std::vector<uint32_t> parts = flattened_from(schedule, i);
    for (const uint32_t part : parts) {
      ScheduledBlock& weight = schedule.blocks[part];
      weight.category = schedule.blocks[i].category;
      weight.trained = schedule.blocks[i].trained;
      weight.end = schedule.blocks[i].end;
    }
    if (!parts.empty()) drop(schedule.blocks[i]);
  }
}

}  // namespace tidemark::analyzer
