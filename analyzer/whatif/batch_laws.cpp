// How each block's size follows the batch.
#include <algorithm>
#include <set>
#include <vector>

#include "recurrent.h"
#include "schedule_parts.h"

namespace tidemark::analyzer {
namespace {

using Law = BatchLaw;

class Laws {
 public:
  Laws(const Raw& raw, Schedule& schedule) : raw_(raw), schedule_(schedule) {
    for (const ScheduledBlock& block : schedule.blocks) {
      if (block.trained) parameter_sizes_.insert(block.bytes);
    }
  }

  void assign() {
    for (uint32_t i = 0; i < schedule_.blocks.size(); ++i) schedule_.blocks[i].law = law_of(i);
    for (uint32_t i = 0; i < schedule_.blocks.size(); ++i) {
      schedule_.blocks[i].chosen = is_scratch_of_convolution(i);
      if (schedule_.blocks[i].chosen) copies_follow_batch(i);
    }
    assign_recurrent_laws(schedule_);
  }

 private:
  Law law_of(uint32_t i) {
    const ScheduledBlock& block = schedule_.blocks[i];
    switch (block.category) {
      case Category::kParameter:
      case Category::kGradient:
      case Category::kOptimizerState:
      case Category::kWorkspace:
      case Category::kCommunication:
      case Category::kFramework:
        return Law::kFixed;
      case Category::kInput:
        return beside_steps(i) ? Law::kFixed : Law::kPerSample;
      default:
        break;
    }
    if (block.iteration == 0 || block.phase == Phase::kOptimizer) return Law::kFixed;
    if (block.bytes <= 512) return Law::kFixed;  // a scalar; one per sample would be noticed later
    // Random state, of each multiprocessor.
    if (schedule_.operations[block.operation] == "_cudnn_init_dropout_state") return Law::kFixed;
    // Outside frameworks sizes alone say little: a batch can be as large as a layer is wide.
    if (schedule_.series.layer == trace::Layer::kPool && block.phase == Phase::kBackward &&
        parameter_sizes_.contains(block.bytes) && meets_fixed_of_its_size(i)) {
      return Law::kFixed;  // a gradient that is added to another
    }
    return made_of_fixed_only(i) ? Law::kFixed : Law::kPerSample;
  }

  // Made and given back within the operator.
  bool is_scratch(uint32_t i) const {
    const ScheduledBlock& block = schedule_.blocks[i];
    return block.iteration != 0 && block.bytes > 512 && block.category != Category::kGradient &&
           block.end <= block.begin + Schedule::kStride;
  }

  bool is_scratch_of_convolution(uint32_t i) const {
    const std::string& operation = schedule_.operations[schedule_.blocks[i].operation];
    const bool convolution = operation.starts_with("cudnn_convolution") ||
                             operation.starts_with("ConvolutionBackward") ||
                             operation.starts_with("CudnnConvolutionBackward");
    return convolution && is_scratch(i);
  }

  // The blocks of a law that some kernel uses together with this one.
  std::set<uint32_t> met(uint32_t i, Law law) const {
    std::set<uint32_t> result;
    const Raw::Block& facts = raw_.blocks[i];
    if (facts.first_work == Raw::kNone) return result;
    for (uint32_t w = facts.first_work; w <= facts.last_work; ++w) {
      const auto blocks = schedule_.blocks_of(schedule_.work[w]);
      if (std::ranges::find(blocks, i) == blocks.end()) continue;
      for (const uint32_t other : blocks) {
        if (other != i && schedule_.blocks[other].law == law) result.insert(other);
      }
    }
    return result;
  }

  // cuDNN's fast kernels want channels last: their scratch has a copy in that order of what goes
  // in, of the weights and of what comes out, or of some of these, and some room of fixed size. Of
  // these the copies of what there is per sample follow the batch: as many as there is room for.
  // All of it does where that is not what it looks like.
  void copies_follow_batch(uint32_t i) {
    ScheduledBlock& block = schedule_.blocks[i];
    std::vector<uint64_t> sizes;
    for (const uint32_t other : met(i, Law::kPerSample)) {
      sizes.push_back(schedule_.blocks[other].bytes);
    }
    constexpr size_t kMost = 6;  // in, out and their gradients: more is something else
    if (sizes.size() > kMost) return;
    uint64_t copies = 0;
    for (uint32_t chosen = 1; chosen < 1U << sizes.size(); ++chosen) {
      uint64_t sum = 0;
      for (size_t k = 0; k < sizes.size(); ++k) {
        if ((chosen >> k & 1U) != 0) sum += sizes[k];
      }
      if (sum <= block.bytes) copies = std::max(copies, sum);
    }
    if (copies == 0) return;
    block.law = Law::kPerSample;
    block.fixed_bytes = block.bytes - copies;
    block.split_bytes = split_bytes(i);
  }

  // Where few samples give too few tiles to fill the device, kernels split the sums of each result
  // and keep the parts beside the weights' copy; for more samples they need not. The weights' own
  // gradients are summed over the samples: these are split all the same.
  uint64_t split_bytes(uint32_t i) const {
    uint64_t weights = 0;
    for (const uint32_t other : met(i, Law::kFixed)) {
      const ScheduledBlock& block = schedule_.blocks[other];
      if (block.category == Category::kGradient) return 0;
      if (block.category == Category::kParameter) weights = std::max(weights, block.bytes);
    }
    const uint64_t fixed = schedule_.blocks[i].fixed_bytes;
    return weights == 0 || weights > fixed ? 0 : fixed - weights;
  }

  // A set that is evaluated between steps, or after them: no step's work uses it.
  bool beside_steps(uint32_t i) const {
    const Raw::Block& facts = raw_.blocks[i];
    if (schedule_.blocks[i].iteration != 0 || facts.first_work == Raw::kNone) return false;
    for (uint32_t w = facts.first_work; w <= facts.last_work; ++w) {
      const DeviceWork& work = schedule_.work[w];
      if (work.iteration == 0) continue;
      const auto blocks = schedule_.blocks_of(work);
      if (std::ranges::find(blocks, i) != blocks.end()) return false;
    }
    return true;
  }

  // A kernel makes it from parameters and their like alone: a copy in another precision, say. What
  // is many times as large as they are has room for more: a scratch that begins with the weights.
  bool made_of_fixed_only(uint32_t i) const {
    const uint32_t first = raw_.blocks[i].first_work;
    if (first == Raw::kNone) return false;
    uint64_t sources = 0;
    for (const uint32_t other : schedule_.blocks_of(schedule_.work[first])) {
      if (other == i) continue;
      if (other > i || schedule_.blocks[other].law != Law::kFixed ||
          schedule_.blocks[other].bytes <= 512) {
        return false;
      }
      sources += schedule_.blocks[other].bytes;
    }
    constexpr uint64_t kMostTimes = 8;
    return sources > 0 && schedule_.blocks[i].bytes <= kMostTimes * sources;
  }

  // Works together with a gradient or a parameter as large as itself.
  bool meets_fixed_of_its_size(uint32_t i) const {
    const Raw::Block& facts = raw_.blocks[i];
    if (facts.first_work == Raw::kNone) return false;
    for (uint32_t w = facts.first_work; w <= facts.last_work; ++w) {
      const auto blocks = schedule_.blocks_of(schedule_.work[w]);
      if (std::ranges::find(blocks, i) == blocks.end()) continue;
      for (const uint32_t other : blocks) {
        const ScheduledBlock& met = schedule_.blocks[other];
        if (other != i && met.bytes == schedule_.blocks[i].bytes &&
            (met.category == Category::kGradient || met.trained)) {
          return true;
        }
      }
    }
    return false;
  }

  const Raw& raw_;
  Schedule& schedule_;
  std::set<uint64_t> parameter_sizes_;
};

}  // namespace

void assign_laws(const Raw& raw, Schedule& schedule) { Laws(raw, schedule).assign(); }

}  // namespace tidemark::analyzer
