// What waits on the host instead of on the device, and what its way there and back takes.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "transform_parts.h"

namespace tidemark::analyzer {
namespace {

// PCIe of the fourth generation, where no large copy was recorded.
constexpr double kAssumedLink = 25e9;

struct Link {
  double bytes_per_second = kAssumedLink;
  std::string text;
};

Link link_of(const Schedule& schedule) {
  Link link;
  if (schedule.link_bytes_per_second > 0) {
    link.bytes_per_second = schedule.link_bytes_per_second;
    link.text = fmt::format("{:.1f} GB/s, the fastest large copy of the trace",
                            link.bytes_per_second / 1e9);
  } else {
    link.text = "25 GB/s, assumed: the trace has no copy of 1 MiB or more";
  }
  return link;
}

// Of the last step: how long it took from begin to end, and its kernels of each pass.
struct StepTime {
  double step = 0;
  double forward = 0;
  double backward = 0;
};

StepTime time_of(const Schedule& schedule) {
  StepTime time;
  // The last step's end is a guess where nothing came after it.
  const size_t at = schedule.iterations.size() > 1 ? schedule.iterations.size() - 2 : 0;
  const ScheduledStep& step = schedule.iterations[at];
  time.step = static_cast<double>(step.end_ns - step.begin_ns) / 1e9;
  for (const DeviceWork& work : schedule.work) {
    if (work.iteration != at + 1) continue;
    const double seconds =
        static_cast<double>(work.left) * static_cast<double>(work.end_ns - work.start_ns) / 1e9;
    if (work.phase == Phase::kForward) time.forward += seconds;
    if (work.phase == Phase::kBackward) time.backward += seconds;
  }
  return time;
}

void say_time(const char* what, double bytes_out, double bytes_back, const Schedule& schedule,
              bool waits, Changes& changes) {
  const Link link = link_of(schedule);
  const StepTime time = time_of(schedule);
  const double out = bytes_out / link.bytes_per_second;
  const double back = bytes_back / link.bytes_per_second;
  const double left = std::max(out - time.forward, 0.0) + std::max(back - time.backward, 0.0);
  if (time.step > 0) changes.extra_time += (waits ? out + back : left) / time.step;
  changes.assumptions.push_back(fmt::format(
      "{}: {:.1f} MiB out and {:.1f} MiB back in each step at {}: {:.1f} ms, of which kernels "
      "could "
      "hide {:.1f} ms{}",
      what, bytes_out / (1 << 20), bytes_back / (1 << 20), link.text, 1e3 * (out + back),
      1e3 * (out + back - left), waits ? "; PyTorch's own way waits for all of it" : ""));
}

}  // namespace

namespace {

// A node of backward: it has what it saved from its beginning until its own scratch is gone.
struct Node {
  int64_t begin = 0;  // of its first allocation
  int64_t end = 0;
  uint32_t operation = 0;
  uint32_t iteration = 0;
};

std::vector<Node> nodes_of(const Schedule& schedule) {
  constexpr uint32_t kNobody = std::numeric_limits<uint32_t>::max();
  std::vector<uint32_t> freed(schedule.event_ns.size(), kNobody);  // by each event
  for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
    const int64_t end = schedule.blocks[i].end;
    const auto event = static_cast<size_t>(end / Schedule::kStride);
    const bool recorded = end % Schedule::kStride == 0 && event < freed.size();
    if (end != ScheduledBlock::kForever && recorded) freed[event] = i;
  }
  const auto freed_at = [&](int64_t position) -> const ScheduledBlock* {
    const auto event = static_cast<size_t>(position / Schedule::kStride);
    const bool any = event < freed.size() && freed[event] != kNobody;
    return any ? &schedule.blocks[freed[event]] : nullptr;
  };
  const auto named = [&](const ScheduledBlock& block) {
    return schedule.operations[block.operation].find("Backward") != std::string::npos;
  };
  // Without native stacks all of backward counts.
  const bool names = std::ranges::any_of(schedule.blocks, named);
  std::vector<Node> nodes;
  for (const ScheduledBlock& block : schedule.blocks) {
    if (block.iteration == 0 || block.phase != Phase::kBackward || block.end <= block.begin ||
        block.begin % Schedule::kStride != 0 || (names && !named(block))) {
      continue;
    }
    // What a node saved goes when it ends: another of its kind may follow.
    bool same = !nodes.empty() && nodes.back().operation == block.operation &&
                nodes.back().iteration == block.iteration;
    for (int64_t at = same ? nodes.back().end : block.begin; at < block.begin;
         at += Schedule::kStride) {
      const ScheduledBlock* gone = freed_at(at);
      if (gone != nullptr && gone->phase == Phase::kForward) same = false;
    }
    if (!same) nodes.push_back({block.begin, block.begin, block.operation, block.iteration});
    Node& node = nodes.back();
    node.end = block.begin;
    while (const ScheduledBlock* gone = freed_at(node.end + Schedule::kStride)) {
      if (gone->begin < node.begin || gone->phase != Phase::kBackward) break;
      node.end += Schedule::kStride;
    }
  }
  return nodes;
}

// The nodes that each block was saved for, as far as kernels tell.
std::vector<std::set<uint32_t>> saved_for(const Schedule& schedule,
                                          const std::vector<Node>& nodes) {
  std::vector<std::set<uint32_t>> result(schedule.blocks.size());
  const auto node_at = [&](int64_t position) {
    const auto behind = std::ranges::upper_bound(nodes, position, {}, &Node::begin);
    return static_cast<uint32_t>(behind - nodes.begin()) - 1;
  };
  for (const DeviceWork& work : schedule.work) {
    if (work.phase != Phase::kBackward || work.iteration == 0) continue;
    const uint32_t node = node_at(work.position);
    if (node >= nodes.size() || nodes[node].iteration != work.iteration) continue;
    for (const uint32_t i : schedule.blocks_of(work)) {
      const ScheduledBlock& block = schedule.blocks[i];
      const bool weight = block.category == Category::kParameter;
      if (weight || (block.saved && block.iteration == work.iteration)) result[i].insert(node);
    }
  }
  // The loss saves what it was given, and reads the labels alone.
  for (uint32_t node = 0; node < nodes.size(); ++node) {
    if (!schedule.operations[nodes[node].operation].starts_with("NllLossBackward")) continue;
    for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
      const ScheduledBlock& block = schedule.blocks[i];
      if (block.iteration == nodes[node].iteration && block.begin < nodes[node].begin &&
          schedule.operations[block.operation] == "_log_softmax" && block.saved) {
        result[i].insert(node);
      }
    }
  }
  return result;
}

// What is saved of a weight that is seen transposed is first put into that order, on the device.
void add_ordered_weights(const Schedule& schedule, std::vector<ScheduledBlock>& added) {
  std::set<uint32_t> seen;
  for (const DeviceWork& work : schedule.work) {
    const auto blocks = schedule.blocks_of(work);
    if (work.phase != Phase::kForward || work.iteration == 0 || blocks.empty()) continue;
    const uint32_t output = *std::ranges::max_element(blocks);
    const ScheduledBlock& made = schedule.blocks[output];
    if (!made.transposed_weight || made.category == Category::kWorkspace) continue;
    uint32_t weight = output;
    for (const uint32_t i : blocks) {
      const ScheduledBlock& block = schedule.blocks[i];
      const bool larger = weight == output || block.bytes > schedule.blocks[weight].bytes;
      if (block.category == Category::kParameter && larger) weight = i;
    }
    if (weight == output || !seen.insert(output).second) continue;
    added.push_back(beside(schedule.blocks[weight], schedule.blocks[weight].bytes,
                           made.begin - Schedule::kStride / 4, made.begin - Schedule::kStride / 8));
    added.back().iteration = work.iteration;
  }
}

}  // namespace

// torch.autograd.graph.save_on_cpu: what an operator saves goes to the host, parameters too; its
// node of backward brings all of it back before it works, each node a copy of its own.
Result<void> offload_activations(Schedule& schedule, Changes& changes) {
  if (auto known = need_work(schedule, "--offload activations"); !known) return known;
  const auto uses = uses_of(schedule);
  const auto nodes = nodes_of(schedule);
  const auto saved = saved_for(schedule, nodes);
  const auto steady = static_cast<uint32_t>(schedule.iterations.size());
  std::vector<ScheduledBlock> added;
  add_ordered_weights(schedule, added);
  double bytes = 0;
  for (uint32_t i = 0; i < uses.size(); ++i) {
    ScheduledBlock& block = schedule.blocks[i];
    for (const uint32_t node : saved[i]) {
      ScheduledBlock back = beside(block, block.bytes, nodes[node].begin - Schedule::kStride / 2,
                                   nodes[node].end + 1);
      back.iteration = nodes[node].iteration;
      back.category =
          block.category == Category::kParameter ? Category::kTemporary : block.category;
      added.push_back(back);
      // Its weights one by one, and the block that they lie in.
      const bool recurrent =
          schedule.operations[nodes[node].operation].starts_with("CudnnRnnBackward");
      if (recurrent && block.category == Category::kParameter) added.push_back(back);
      if (back.iteration == steady) bytes += static_cast<double>(back.bytes);
    }
    if (block.iteration == 0 || !block.saved || block.category == Category::kInput ||
        uses[i].first_backward == ScheduledBlock::kForever) {
      continue;
    }
    block.end = std::min(block.end, std::max(uses[i].last_forward, block.begin) + 2);
    block.saved = false;
  }
  schedule.blocks.insert(schedule.blocks.end(), added.begin(), added.end());
  say_time("saved tensors wait on the host (torch.autograd.graph.save_on_cpu)", bytes, bytes,
           schedule, true, changes);
  return {};
}

Result<void> offload_optimizer(Schedule& schedule, Changes& changes) {
  if (auto steps = need_steps(schedule, "--offload optimizer"); !steps) return steps;
  double bytes = 0;
  for (ScheduledBlock& block : schedule.blocks) {
    if (block.trained) bytes += static_cast<double>(block.bytes);
    const bool scratch = block.phase == Phase::kOptimizer && block.iteration > 0;
    if (block.category == Category::kOptimizerState || scratch) drop(block);
  }
  const auto optimizer = [](const DeviceWork& work) { return work.phase == Phase::kOptimizer; };
  spare(schedule, optimizer, 1, changes);
  say_time("the optimizer's states and step on the host", bytes, bytes, schedule, true, changes);
  changes.unknown.emplace_back("how long the optimizer's step takes on the host's processor");
  return {};
}

Result<void> offload_parameters(Schedule& schedule, Changes& changes) {
  if (auto known = need_work(schedule, "--offload parameters"); !known) return known;
  // Each parameter comes when a pass first works on it and goes when it has last done so.
  struct Span {
    int64_t begin = ScheduledBlock::kForever;
    int64_t end = 0;
  };
  std::map<std::tuple<uint32_t, uint32_t, Phase>, Span> spans;
  for (const DeviceWork& work : schedule.work) {
    if (work.iteration == 0 || work.phase == Phase::kOther) continue;
    for (const uint32_t i : schedule.blocks_of(work)) {
      if (!schedule.blocks[i].trained) continue;
      Span& span = spans[{i, work.iteration, work.phase}];
      span.begin = std::min(span.begin, work.position);
      span.end = std::max(span.end, work.position);
    }
  }
  std::vector<ScheduledBlock> added;
  double bytes = 0;
  double back = 0;
  const auto steady = static_cast<uint32_t>(schedule.iterations.size());
  std::map<uint32_t, int64_t> gone;  // where each went last: it is there once
  for (const auto& [key, span] : spans) {
    const auto& [i, step, phase] = key;
    int64_t& last = gone[i];
    const int64_t begin = std::max(span.begin - Schedule::kStride / 2, last);
    last = std::max(last, span.end + 1);
    ScheduledBlock block = beside(schedule.blocks[i], schedule.blocks[i].bytes, begin, last);
    block.iteration = step;
    block.phase = phase;
    added.push_back(block);
    if (step != steady) continue;
    bytes += static_cast<double>(block.bytes);
    if (phase == Phase::kOptimizer) back += static_cast<double>(block.bytes);
  }
  for (ScheduledBlock& block : schedule.blocks) {
    if (block.trained) drop(block);
  }
  schedule.blocks.insert(schedule.blocks.end(), added.begin(), added.end());
  say_time("parameters wait on the host and come for each pass", back, bytes, schedule, false,
           changes);
  return {};
}

}  // namespace tidemark::analyzer
