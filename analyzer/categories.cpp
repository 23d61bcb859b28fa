#include "tidemark/analyzer/categories.h"

#include <algorithm>
#include <unordered_set>

#include "block_facts.h"
#include "categorize_parts.h"
#include "lifetimes.h"

namespace tidemark::analyzer {
namespace {

struct Verdict {
  Category category = Category::kUnknown;
  Sureness sureness = Sureness::kGuess;
};

class Judge {
 public:
  Judge(const Structure& structure, const Series& series, bool accesses_known)
      : structure_(structure),
        series_(series),
        accesses_(accesses_known),
        last_in_span_(structure.phases.size(), std::numeric_limits<int64_t>::min()) {}

  // Gradients have their parameters' sizes: judged after all else.
  void know_parameter(uint64_t size) { parameter_sizes_.insert(size); }
  void know_backward(int64_t alloc_ns) {
    const size_t span = span_at(alloc_ns);
    if (span >= last_in_span_.size()) return;
    last_in_span_[span] = std::max(last_in_span_[span], alloc_ns);
  }

  Verdict judge(const BlockFacts& block, const BlockPlace& place) const {
    const StackRole& role = *block.role;
    if (role.communication) return {Category::kCommunication, Sureness::kSure};
    if (block.code) return {Category::kFramework, Sureness::kSure};
    if (role.workspace) return {Category::kWorkspace, Sureness::kSure};
    if (series_.space == trace::Space::kPinned || series_.space == trace::Space::kManaged) {
      if (const auto staged = staging(block)) return *staged;
    }
    if (structure_.iterations.empty()) return without_iterations(block, place);
    if (place.iteration < 0) return outside(block, place);
    switch (place.phase) {
      case Phase::kOptimizer:
        return outlives_iteration(block, place)
                   ? Verdict{Category::kOptimizerState, place.phase_sureness}
                   : Verdict{Category::kTemporary, place.phase_sureness};
      case Phase::kBackward:
        return in_backward(block, place);
      case Phase::kForward:
        return in_forward(block, place);
      default:
        break;
    }
    return {dies_in_span(block) ? Category::kTemporary : Category::kUnknown, Sureness::kGuess};
  }

 private:
  int64_t first_begin() const { return structure_.iterations.front().begin_ns; }

  bool outlives_iteration(const BlockFacts& block, const BlockPlace& place) const {
    const auto at = static_cast<size_t>(place.iteration);
    return block.end_ns >= structure_.iterations[at].end_ns;
  }

  size_t span_at(int64_t time_ns) const {
    const std::vector<PhaseSpan>& spans = structure_.phases;
    const auto after =
        std::upper_bound(spans.begin(), spans.end(), time_ns,
                         [](int64_t time, const PhaseSpan& span) { return time < span.begin_ns; });
    return static_cast<size_t>(after - spans.begin()) - 1;  // wraps where there is none
  }

  // Over before what follows in the program begins.
  bool dies_in_span(const BlockFacts& block) const {
    const size_t span = span_at(block.alloc_ns);
    return span >= structure_.phases.size() || block.end_ns < structure_.phases[span].end_ns;
  }

  // A step of the optimizer that allocates nothing is not seen: what outlives all that backward
  // allocates, and is as large as a parameter, was for that step.
  bool outlives_backward(const BlockFacts& block) const {
    const size_t span = span_at(block.alloc_ns);
    if (span + 1 >= structure_.phases.size()) return false;
    return structure_.phases[span + 1].phase != Phase::kOptimizer &&
           block.end_ns > last_in_span_[span] && parameter_sizes_.contains(block.size);
  }

  bool interpreters_own(const BlockFacts& block) const {
    return series_.space == trace::Space::kHost && block.role->interpreter;
  }

  std::optional<Verdict> staging(const BlockFacts& block) const {
    if (block.copied_from > 0 && block.copied_from >= block.copied_to) {
      return Verdict{Category::kInput, Sureness::kLikely};
    }
    return std::nullopt;
  }

  Verdict named(const BlockFacts& block, Verdict otherwise) const {
    return block.named ? Verdict{*block.named, Sureness::kGuess} : otherwise;
  }

  // Nothing repeats: only what a stack or a copy says.
  Verdict without_iterations(const BlockFacts& block, const BlockPlace& place) const {
    if (interpreters_own(block)) return {Category::kFramework, Sureness::kLikely};
    if (block.role->framework && place.phase == Phase::kOptimizer) {
      return {Category::kOptimizerState, Sureness::kGuess};
    }
    return named(block, {});
  }

  // Before the loop or after it.
  Verdict outside(const BlockFacts& block, const BlockPlace& place) const {
    if (block.alloc_ns >= first_begin()) {
      return {dies_in_span(block) ? Category::kTemporary : Category::kUnknown, Sureness::kGuess};
    }
    if (block.end_ns < first_begin()) return {Category::kTemporary, Sureness::kLikely};
    if (place.phase == Phase::kOptimizer) {
      return {Category::kOptimizerState, place.phase_sureness};
    }
    if (block.inputs_copied >= 2) return {Category::kInput, Sureness::kSure};
    const bool computed = block.used(Phase::kForward) || block.used(Phase::kBackward);
    if (computed && block.used(Phase::kOptimizer)) return {Category::kParameter, Sureness::kSure};
    if (computed) return {Category::kParameter, Sureness::kLikely};
    if (block.used(Phase::kOptimizer)) return {Category::kOptimizerState, Sureness::kLikely};
    // A set that is evaluated beside the loop. Weights that a framework brings the same way may
    // wait for that, too.
    if (block.copied_first && block.used_by_kernel && !block.role->framework) {
      return {Category::kInput, Sureness::kLikely};
    }
    if (interpreters_own(block)) return {Category::kFramework, Sureness::kLikely};
    if (block.role->framework) {
      return {Category::kParameter, accesses_ ? Sureness::kGuess : Sureness::kLikely};
    }
    return named(block, {});
  }

  Verdict in_backward(const BlockFacts& block, const BlockPlace& place) const {
    if (dies_in_span(block) && outlives_backward(block)) {
      return {Category::kGradient, Sureness::kLikely};
    }
    if (dies_in_span(block)) {
      const bool again = block.role->recomputed;
      return {again ? Category::kActivation : Category::kTemporary, Sureness::kLikely};
    }
    if (block.role->accumulates) return {Category::kGradient, Sureness::kSure};
    if (parameter_sizes_.empty() || parameter_sizes_.contains(block.size)) {
      return {Category::kGradient,
              parameter_sizes_.empty() ? Sureness::kGuess : place.phase_sureness};
    }
    if (block.used(Phase::kOptimizer)) return {Category::kGradient, Sureness::kLikely};
    return {Category::kTemporary, Sureness::kGuess};
  }

  Verdict in_forward(const BlockFacts& block, const BlockPlace& place) const {
    if (block.copied_first && block.role->modules.empty()) {
      return {Category::kInput, Sureness::kSure};
    }
    if (dies_in_span(block)) return {Category::kTemporary, place.phase_sureness};
    if (interpreters_own(block)) return {Category::kFramework, Sureness::kLikely};
    if (accesses_) {
      if (block.used(Phase::kBackward)) return {Category::kActivation, Sureness::kSure};
      return {Category::kActivation, Sureness::kGuess};
    }
    return {Category::kActivation, place.phase_sureness};
  }

  const Structure& structure_;
  const Series& series_;
  bool accesses_;
  std::vector<int64_t> last_in_span_;  // of each span of phases: its last backward allocation
  std::unordered_set<uint64_t> parameter_sizes_;
};

// Where PyTorch's backward pass asked for any of the blocks: which operations of forward they
// belong to.
Result<BackwardOrigins> backward_of(const trace::Reader& reader, const Series& series,
                                    const trace::AllocationFilter& filter, RoleCache& roles) {
  if (series.layer == trace::Layer::kDriver) {
    // What a pool takes from the driver serves many blocks of it, of forward and backward.
    const auto pool = reader.pool_reserved();
    if (!pool) return tl::unexpected(pool.error());
    if (!pool->empty()) return BackwardOrigins{};
  }
  bool any = false;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (any) return;
      const StackRole& role = roles.role(row.alloc_stack);
      any = role.framework && role.phase == Phase::kBackward;
    }
  });
  if (!read) return tl::unexpected(read.error());
  if (!any) return BackwardOrigins{};
  return find_backward_origins(reader, series);
}

}  // namespace

const char* to_string(Category category) {
  constexpr const char* names[] = {
      "parameter", "gradient",  "optimizer_state", "activation",         "input",
      "temporary", "workspace", "communication",   "framework_overhead", "unknown"};
  static_assert(std::size(names) == kCategories);
  return names[static_cast<size_t>(category)];
}

const CategoryBlock* SeriesBlocks::find(trace::AllocationId id) const {
  const auto found = std::lower_bound(blocks.begin(), blocks.end(), id,
                                      [](const CategoryBlock& block, trace::AllocationId wanted) {
                                        return block.place.id < wanted;
                                      });
  return found != blocks.end() && found->place.id == id ? &*found : nullptr;
}

Result<SeriesBlocks> categorize(const trace::Reader& reader, const Structure& structure,
                                const Series& series) {
  RoleCache roles(reader);
  return categorize(reader, structure, series, filter_for(series), roles);
}

Result<SeriesBlocks> categorize(const trace::Reader& reader, const Structure& structure,
                                const Series& series, const trace::AllocationFilter& filter,
                                RoleCache& roles) {
  SeriesBlocks result;
  result.series = series;
  auto places = place_blocks(reader, structure, filter, roles);
  if (!places) return tl::unexpected(places.error());
  auto origins = backward_of(reader, series, filter, roles);
  if (!origins) return tl::unexpected(origins.error());
  result.backward = std::move(*origins);
  const auto facts = BlockFactsTable::build(reader, structure, series, filter, roles);
  if (!facts) return tl::unexpected(facts.error());
  Judge judge(structure, series, facts->accesses_known);
  result.layers = std::move(places->layers);
  result.blocks.resize(places->blocks.size());
  std::vector<size_t> backward;
  for (size_t i = 0; i < places->blocks.size(); ++i) {
    CategoryBlock& block = result.blocks[i];
    block.place = places->blocks[i];
    if (block.place.phase == Phase::kBackward) {
      backward.push_back(i);
      judge.know_backward(facts->blocks[i].alloc_ns);
      continue;
    }
    const Verdict verdict = judge.judge(facts->blocks[i], block.place);
    block.category = verdict.category;
    block.sureness = verdict.sureness;
    if (verdict.category == Category::kParameter) judge.know_parameter(facts->blocks[i].size);
  }
  for (const size_t i : backward) {
    const Verdict verdict = judge.judge(facts->blocks[i], result.blocks[i].place);
    result.blocks[i].category = verdict.category;
    result.blocks[i].sureness = verdict.sureness;
  }
  return result;
}

}  // namespace tidemark::analyzer
