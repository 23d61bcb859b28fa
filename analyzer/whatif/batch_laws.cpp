// How each block's size follows the batch.
#include <algorithm>
#include <set>

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
      if (is_scratch_of_convolution(i)) schedule_.blocks[i].fixed_bytes = beside_copies(i);
    }
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
    // Outside frameworks sizes alone say little: a batch can be as large as a layer is wide.
    if (schedule_.series.layer == trace::Layer::kPool && block.phase == Phase::kBackward &&
        parameter_sizes_.contains(block.bytes) && meets_fixed_of_its_size(i)) {
      return Law::kFixed;  // a gradient that is added to another
    }
    return made_of_fixed_only(i) ? Law::kFixed : Law::kPerSample;
  }

  // Made and given back within the operator.
  bool is_scratch_of_convolution(uint32_t i) const {
    const ScheduledBlock& block = schedule_.blocks[i];
    const std::string& operation = schedule_.operations[block.operation];
    const bool convolution = operation.starts_with("cudnn_convolution") ||
                             operation.starts_with("ConvolutionBackward") ||
                             operation.starts_with("CudnnConvolutionBackward");
    return convolution && block.law == Law::kPerSample &&
           block.end <= block.begin + Schedule::kStride;
  }

  // cuDNN's fast kernels want channels last: their scratch has a copy in that order of what goes
  // in, of the weights and of what comes out, and some room of fixed size. Of these the copies of
  // what there is per sample follow the batch. All of it does where that is not what it looks like.
  uint64_t beside_copies(uint32_t i) const {
    const Raw::Block& facts = raw_.blocks[i];
    if (facts.first_work == Raw::kNone) return 0;
    std::set<uint32_t> per_sample;
    for (uint32_t w = facts.first_work; w <= facts.last_work; ++w) {
      const auto blocks = schedule_.blocks_of(schedule_.work[w]);
      if (std::ranges::find(blocks, i) == blocks.end()) continue;
      for (const uint32_t other : blocks) {
        const bool counts = schedule_.blocks[other].law == Law::kPerSample;
        if (other != i && counts) per_sample.insert(other);
      }
    }
    uint64_t copies = 0;
    for (const uint32_t other : per_sample) copies += schedule_.blocks[other].bytes;
    const uint64_t whole = schedule_.blocks[i].bytes;
    return copies == 0 || copies > whole ? 0 : whole - copies;
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
