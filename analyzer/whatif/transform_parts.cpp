#include "transform_parts.h"

#include <algorithm>
#include <array>
#include <map>

#include "../names.h"

namespace tidemark::analyzer {
Result<void> need_work(const Schedule& schedule, const char* what) {
  if (auto steps = need_steps(schedule, what); !steps) return steps;
  if (!schedule.work.empty()) return {};
  return fail(std::string(what) +
              " needs to know what kernels were handed; record with --device=auto");
}

ScheduledBlock beside(const ScheduledBlock& block, uint64_t bytes, int64_t begin, int64_t end) {
  ScheduledBlock added = block;
  added.origin = {};
  added.bytes = bytes;
  added.recorded_bytes = 0;
  added.begin = begin;
  added.end = end;
  added.saved = false;
  added.trained = false;
  added.category = Category::kTemporary;
  return added;
}

std::vector<Uses> uses_of(const Schedule& schedule) {
  std::vector<Uses> uses(schedule.blocks.size());
  for (const DeviceWork& work : schedule.work) {
    for (const uint32_t block : schedule.blocks_of(work)) {
      Uses& of = uses[block];
      if (work.phase == Phase::kForward) {
        of.last_forward = std::max(of.last_forward, work.position);
      } else if (work.phase == Phase::kBackward) {
        of.first_backward = std::min(of.first_backward, work.position);
        of.last_backward = std::max(of.last_backward, work.position);
      }
    }
  }
  return uses;
}

std::vector<int64_t> backward_of_layers(const Schedule& schedule, const std::vector<Uses>& uses) {
  std::vector<std::vector<int64_t>> asks(schedule.instances.size());
  for (const DeviceWork& work : schedule.work) {
    if (work.phase != Phase::kBackward) continue;
    for (const uint32_t i : schedule.blocks_of(work)) {
      const ScheduledBlock& block = schedule.blocks[i];
      // Also of what checkpoints made before, which is no longer saved: it is there again by then.
      if (block.instance == 0 || block.phase != Phase::kForward) continue;
      // What it hands on is also asked for by the layer behind it, which comes first.
      const ModuleInstance& layer = schedule.instances[block.instance - 1];
      if (uses[i].last_forward <= layer.end) asks[block.instance - 1].push_back(work.position);
    }
  }
  std::vector<int64_t> result(asks.size(), ScheduledBlock::kForever);
  int64_t behind = 0;  // where backward comes to the layer behind
  for (size_t i = asks.size(); i-- > 0;) {
    const bool last = i + 1 == asks.size() ||
                      schedule.instances[i].iteration != schedule.instances[i + 1].iteration;
    if (last) behind = 0;
    if (asks[i].empty()) continue;
    // What seems to ask before the layer behind is an address that an earlier call left in a
    // kernel's arguments.
    const auto first = std::ranges::lower_bound(asks[i], behind);
    result[i] = first == asks[i].end() ? asks[i].front() : *first;
    behind = result[i];
  }
  return result;
}

bool is_product(std::string_view operation) {
  static constexpr std::array<std::string_view, 29> kProducts = {"addmm",
                                                                 "mm",
                                                                 "bmm",
                                                                 "baddbmm",
                                                                 "addbmm",
                                                                 "addmv",
                                                                 "linear",
                                                                 "matmul",
                                                                 "einsum",
                                                                 "convolution",
                                                                 "_convolution",
                                                                 "conv1d",
                                                                 "conv2d",
                                                                 "conv3d",
                                                                 "conv_transpose",
                                                                 "cudnn_conv",
                                                                 "_cudnn_rnn",
                                                                 "_efficient_a",
                                                                 "_flash_atten",
                                                                 "_scaled_dot",
                                                                 "_thnn_fused",
                                                                 "AddmmBack",
                                                                 "MmBack",
                                                                 "BmmBack",
                                                                 "ConvolutionBack",
                                                                 "CudnnRnnBack",
                                                                 "ScaledDotProduct",
                                                                 "CudnnConvolutionBack",
                                                                 "LinearBack"};
  return starts_with_any(operation, kProducts);
}

std::vector<WeightProduct> products_of(const Schedule& schedule) {
  std::vector<WeightProduct> products;
  std::vector<bool> seen(schedule.blocks.size());
  for (const DeviceWork& work : schedule.work) {
    const auto blocks = schedule.blocks_of(work);
    if (work.phase != Phase::kForward || work.iteration == 0 || blocks.size() < 3) continue;
    const uint32_t output = *std::ranges::max_element(blocks);
    const ScheduledBlock& made = schedule.blocks[output];
    const std::string& operation = schedule.operations[made.operation];
    if (made.instance == 0 || seen[output] ||
        !(operation == "addmm" || operation == "mm" || operation == "linear")) {
      continue;
    }
    WeightProduct product;
    product.output = output;
    uint64_t weight = 0;
    uint64_t input = 0;
    for (const uint32_t block : blocks) {
      const ScheduledBlock& given = schedule.blocks[block];
      if (block == output || given.element != ElementKind::kFloat) continue;
      const bool parameter = given.category == Category::kParameter;
      uint64_t& largest = parameter ? weight : input;
      if (given.bytes <= largest) continue;
      largest = given.bytes;
      (parameter ? product.weight : product.input) = block;
    }
    constexpr uint64_t kSmall = 4096;
    if (weight < kSmall || input == 0) continue;
    seen[output] = true;
    const double elements = static_cast<double>(weight) / schedule.float_bytes;
    product.inputs =
        std::sqrt(elements * static_cast<double>(input) / static_cast<double>(made.bytes));
    product.outputs = elements / product.inputs;
    products.push_back(product);
  }
  return products;
}

TrainedParameters::TrainedParameters(const Schedule& schedule) {
  std::map<uint32_t, std::vector<uint32_t>> gradients;  // of each step
  std::map<uint32_t, std::vector<uint32_t>> temporaries;
  std::vector<uint32_t> states;
  uint64_t state_bytes = 0;
  uint64_t parameter_bytes = 0;
  for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
    const ScheduledBlock& block = schedule.blocks[i];
    if (block.end <= block.begin) continue;  // dropped by an earlier change
    if (block.trained) {
      parameters_.push_back(i);
      parameter_bytes += block.bytes;
    } else if (block.category == Category::kGradient) {
      gradients[block.iteration].push_back(i);
    } else if (block.category == Category::kOptimizerState) {
      states.push_back(i);
      state_bytes += block.bytes;
    } else if (block.phase == Phase::kOptimizer && block.iteration > 0) {
      temporaries[block.iteration].push_back(i);
    }
  }
  if (parameter_bytes > 0) {
    state_ratio_ = static_cast<double>(state_bytes) / static_cast<double>(parameter_bytes);
  }
  std::ranges::stable_sort(parameters_, std::ranges::greater{},
                           [&](uint32_t i) { return schedule.blocks[i].bytes; });
  gradients_.resize(parameters_.size());
  of_optimizer_.resize(parameters_.size());
  for (auto& [step, blocks] : gradients) pair(schedule, std::move(blocks), true);
  for (auto& [step, blocks] : temporaries) pair(schedule, std::move(blocks), false);
  pair(schedule, std::move(states), false);
}

void TrainedParameters::pair(const Schedule& schedule, std::vector<uint32_t> blocks,
                             bool gradients) {
  if (parameters_.empty() || blocks.empty()) return;
  const auto size = [&](uint32_t i) { return schedule.blocks[i].bytes; };
  std::ranges::stable_sort(blocks, std::ranges::greater{}, size);
  auto& lists = gradients ? gradients_ : of_optimizer_;
  // As many for each, or what is as large as a block of that size can be.
  const bool even = blocks.size() % parameters_.size() == 0;
  const size_t each = std::max<size_t>(blocks.size() / parameters_.size(), 1);
  constexpr uint64_t kUnsplit = uint64_t{1} << 20;
  size_t next = 0;
  for (size_t p = 0; p < parameters_.size() && next < blocks.size(); ++p) {
    for (size_t k = 0; k < each && next < blocks.size(); ++k) {
      if (!even) {
        while (next < blocks.size() && size(blocks[next]) > size(parameters_[p]) + kUnsplit) ++next;
        if (next == blocks.size() || size(blocks[next]) < size(parameters_[p])) break;
      }
      lists[p].push_back(blocks[next++]);
    }
  }
}

std::vector<uint32_t> TrainedParameters::gradients_of(uint32_t parameter) const {
  const auto found = std::ranges::find(parameters_, parameter);
  if (found == parameters_.end()) return {};
  return gradients_[static_cast<size_t>(found - parameters_.begin())];
}

std::vector<uint32_t> TrainedParameters::kept_for(uint32_t parameter) const {
  const auto found = std::ranges::find(parameters_, parameter);
  if (found == parameters_.end()) return {};
  const auto at = static_cast<size_t>(found - parameters_.begin());
  std::vector<uint32_t> result = gradients_[at];
  result.insert(result.end(), of_optimizer_[at].begin(), of_optimizer_[at].end());
  return result;
}

}  // namespace tidemark::analyzer
