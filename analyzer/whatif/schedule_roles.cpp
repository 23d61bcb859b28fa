#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>

#include "schedule_parts.h"

namespace tidemark::analyzer {
namespace {

bool in_optimizer_at(const Schedule& schedule, const ScheduledBlock& block) {
  const ScheduledStep& own = schedule.iterations[block.iteration - 1];
  return block.end >= own.optimizer && own.optimizer != own.end;
}

bool outlives_its_iteration(const Schedule& schedule, const ScheduledBlock& block) {
  return block.end >= schedule.iterations[block.iteration - 1].end ||
         block.end == ScheduledBlock::kForever;
}

// Which blocks kernels of the optimizer work on.
std::vector<bool> optimized(const Schedule& schedule) {
  std::vector<bool> result(schedule.blocks.size());
  for (const DeviceWork& work : schedule.work) {
    if (work.phase != Phase::kOptimizer) continue;
    for (const uint32_t block : schedule.blocks_of(work)) result[block] = true;
  }
  return result;
}

bool is_input(const Raw& raw, size_t block) {
  const uint32_t first = raw.blocks[block].first_work;
  return first != Raw::kNone && raw.work_from_host[first];
}

}  // namespace

const char* to_string(BlockRole role) {
  switch (role) {
    case BlockRole::kParameter:
      return "parameter";
    case BlockRole::kConstant:
      return "constant";
    case BlockRole::kGradient:
      return "gradient";
    case BlockRole::kOptimizerState:
      return "optimizer_state";
    case BlockRole::kInput:
      return "input";
    case BlockRole::kActivation:
      return "activation";
    case BlockRole::kWorkspace:
      return "workspace";
    case BlockRole::kTemporary:
      return "temporary";
  }
  return "temporary";
}

void assign_roles(const Raw& raw, Schedule& schedule) {
  const auto in_optimizer = optimized(schedule);
  for (size_t i = 0; i < schedule.blocks.size(); ++i) {
    ScheduledBlock& block = schedule.blocks[i];
    const StackFacts& facts = raw.stacks[raw.blocks[i].stack];
    const bool for_ever = block.end == ScheduledBlock::kForever;
    block.role = BlockRole::kTemporary;
    if (block.iteration == 0) {
      // Small parameters can share a call's leftovers; what lives through all steps is the model's.
      const bool stays =
          schedule.iterations.empty() || for_ever || block.end > schedule.iterations.front().end;
      if (stays) block.role = in_optimizer[i] ? BlockRole::kParameter : BlockRole::kConstant;
    } else if (facts.workspace) {
      block.role = BlockRole::kWorkspace;
    } else if (block.phase == Phase::kOptimizer) {
      if (outlives_its_iteration(schedule, block)) block.role = BlockRole::kOptimizerState;
    } else if (block.phase == Phase::kBackward) {
      if (in_optimizer[i] && in_optimizer_at(schedule, block)) block.role = BlockRole::kGradient;
    } else if (is_input(raw, i)) {
      block.role = BlockRole::kInput;
    } else if (block.saved) {
      block.role = BlockRole::kActivation;
    }
  }
}

namespace {

using Law = BatchLaw;

class Laws {
 public:
  Laws(const Raw& raw, Schedule& schedule) : raw_(raw), schedule_(schedule) {
    for (const ScheduledBlock& block : schedule.blocks) {
      if (block.role == BlockRole::kParameter) parameter_sizes_.insert(block.bytes);
    }
  }

  void assign() {
    for (uint32_t i = 0; i < schedule_.blocks.size(); ++i) schedule_.blocks[i].law = law_of(i);
  }

 private:
  Law law_of(uint32_t i) {
    const ScheduledBlock& block = schedule_.blocks[i];
    switch (block.role) {
      case BlockRole::kParameter:
      case BlockRole::kConstant:
      case BlockRole::kGradient:
      case BlockRole::kOptimizerState:
      case BlockRole::kWorkspace:
        return Law::kFixed;
      case BlockRole::kInput:
        return Law::kPerSample;
      default:
        break;
    }
    if (block.iteration == 0 || block.phase == Phase::kOptimizer) return Law::kFixed;
    if (block.bytes <= 512) return Law::kFixed;  // a scalar; one per sample would be noticed later
    if (block.phase == Phase::kBackward && parameter_sizes_.contains(block.bytes) &&
        meets_fixed_of_its_size(i)) {
      return Law::kFixed;  // a gradient that is added to another
    }
    return made_of_fixed_only(i) ? Law::kFixed : Law::kPerSample;
  }

  // A kernel makes it from parameters and their like alone: a copy in another precision, say.
  bool made_of_fixed_only(uint32_t i) const {
    const uint32_t first = raw_.blocks[i].first_work;
    if (first == Raw::kNone) return false;
    bool any = false;
    for (const uint32_t other : schedule_.blocks_of(schedule_.work[first])) {
      if (other == i) continue;
      if (other > i || schedule_.blocks[other].law != Law::kFixed ||
          schedule_.blocks[other].bytes <= 512) {
        return false;
      }
      any = true;
    }
    return any;
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
            (met.role == BlockRole::kGradient || met.role == BlockRole::kParameter)) {
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
