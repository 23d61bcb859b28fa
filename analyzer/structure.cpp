#include "tidemark/analyzer/structure.h"

#include <algorithm>
#include <functional>
#include <future>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "repeats.h"
#include "role_cache.h"
#include "sequence.h"

namespace tidemark::analyzer {
namespace {

uint64_t key_of(uint64_t first, uint64_t second) {
  constexpr uint64_t odd = 0x9e3779b97f4a7c15;
  const uint64_t mixed = first * odd;
  return (mixed ^ (mixed >> 32)) + second * 0xff51afd7ed558ccd;
}

// What the stack of each step is known by, and how many steps before each were part of a backward
// pass: an iteration has some, and others.
struct StepRoles {
  std::vector<uint64_t> identities;
  std::vector<uint32_t> backward_before;
};

// Each stack is looked up once: steps are millions, stacks thousands.
StepRoles roles_of(const Sequence& sequence, RoleCache& roles) {
  struct Known {
    uint64_t identity;
    std::optional<Phase> phase;
  };
  std::unordered_map<int64_t, Known> known;
  StepRoles all;
  all.identities.reserve(sequence.steps.size());
  all.backward_before.reserve(sequence.steps.size() + 1);
  all.backward_before.push_back(0);
  for (const Step& step : sequence.steps) {
    const auto stack = static_cast<int64_t>(step.stack);
    auto found = known.find(stack);
    if (found == known.end()) {
      const StackRole& role = roles.role(step.stack);
      const uint64_t identity =
          roles.looks_at(step.stack) ? role.identity : static_cast<uint64_t>(stack);
      found = known.emplace(stack, Known{identity, role.phase}).first;
    }
    const auto phase = roles.phase_on(step.thread, found->second.phase);
    all.identities.push_back(found->second.identity);
    all.backward_before.push_back(all.backward_before.back() + (phase == Phase::kBackward ? 1 : 0));
  }
  return all;
}

std::vector<uint64_t> keys_of(const Sequence& sequence, std::span<const uint64_t> identities,
                              bool with_sizes) {
  std::vector<uint64_t> keys;
  keys.reserve(identities.size());
  for (size_t i = 0; i < identities.size(); ++i) {
    keys.push_back(key_of(identities[i], with_sizes ? sequence.steps[i].size + 1 : 0));
  }
  return keys;
}

struct Found {
  Sequence sequence;
  Repeats repeats;
  bool sizes_repeat = true;
  bool passes_known = false;  // each repeat has a backward pass, by its stacks
  bool by_passes = false;
};

// What repeats can be found from anywhere in it: an iteration begins where a pass forward follows
// the backward pass or the optimizer of the one before.
void begin_with_forward(RoleCache& roles, const Sequence& sequence, Repeats& repeats) {
  const auto phase_at = [&](size_t i) {
    return roles.phase_of(sequence.steps[i].stack, sequence.steps[i].thread);
  };
  const auto ends_iteration = [&](size_t i) {
    const auto phase = phase_at(i);
    return phase == Phase::kBackward || phase == Phase::kOptimizer;
  };
  std::vector<size_t>& begins = repeats.begins;
  if (begins.size() < 2) return;
  std::vector<size_t> aligned = begins;
  bool all_moved = true;
  for (size_t i = 1; i < begins.size(); ++i) {
    while (aligned[i] > begins[i - 1] && !ends_iteration(aligned[i] - 1)) --aligned[i];
    if (aligned[i] == begins[i - 1]) return;  // no such passes
    all_moved = all_moved && aligned[i] < begins[i];
  }
  if (!all_moved) return;  // what comes before some of them is no forward pass
  begins = std::move(aligned);
  // Before the first there is no other: it begins with what the second begins with, whatever
  // libraries set up in between.
  bool found = false;
  for (size_t i = begins[0]; i-- > 0 && !ends_iteration(i);) {
    const bool same = sequence.keys[i] == sequence.keys[begins[1]];
    if (found && !same) break;  // inputs, say, are copied several times from one line
    if (same) begins[0] = i;
    found = found || same;
  }
  // What then follows the last one is the begin of one that was not finished.
  size_t end = repeats.end;
  while (end > begins.back() && !ends_iteration(end - 1)) --end;
  if (end > begins.back() && end < repeats.end && phase_at(end) == Phase::kForward) {
    repeats.end = end;
  }
}

// Backward passes between two steps of the optimizer (gradients are accumulated); 1 where steps are
// seen at no even distance: one that takes nothing new is not seen.
size_t passes_a_step(std::span<const size_t> steps) {
  if (steps.size() < 2) return 1;
  const size_t distance = steps[1] - steps[0];
  for (size_t i = 2; i < steps.size(); ++i) {
    if (steps[i] - steps[i - 1] != distance) return 1;
  }
  return distance;
}

// A host program does not allocate alike in each turn, and what is alike over several is no
// iteration: there the passes are counted. One begins with the forward pass that follows a
// backward pass and, where that is seen, the optimizer's step. Regular: as long as most.
Repeats passes_of(const Sequence& sequence, RoleCache& roles) {
  Repeats passes;
  std::vector<size_t> begins;
  std::vector<size_t> after_optimizer;  // into begins
  bool backward = true;
  bool optimizer = false;
  for (size_t i = 0; i < sequence.steps.size(); ++i) {
    const auto phase = roles.phase_of(sequence.steps[i].stack, sequence.steps[i].thread);
    if (!phase) continue;
    if (*phase == Phase::kForward && backward) {
      if (optimizer) after_optimizer.push_back(begins.size());
      begins.push_back(i);
      backward = optimizer = false;
    }
    backward = backward || *phase == Phase::kBackward;
    optimizer = optimizer || *phase == Phase::kOptimizer;
    if (*phase != Phase::kForward) passes.end = i + 1;
  }
  if (!backward && !begins.empty()) begins.pop_back();  // not finished
  const size_t each = passes_a_step(after_optimizer);
  const size_t first = each > 1 ? after_optimizer[0] % each : 0;
  for (size_t i = first; i < begins.size(); i += each) passes.begins.push_back(begins[i]);
  if (passes.begins.empty()) return passes;
  std::vector<size_t> lengths;
  for (size_t i = 0; i < passes.begins.size(); ++i) {
    const size_t end = i + 1 < passes.begins.size() ? passes.begins[i + 1] : passes.end;
    lengths.push_back(end - passes.begins[i]);
  }
  std::vector<size_t> sorted = lengths;
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2),
                   sorted.end());
  passes.period = sorted[sorted.size() / 2];
  constexpr size_t quarter = 4;
  for (const size_t length : lengths) {
    const size_t off = length > passes.period ? length - passes.period : passes.period - length;
    passes.regular.push_back(off <= passes.period / quarter);
  }
  return passes;
}

constexpr size_t kFewestForThread = 100'000;

// By stack and size, or by stack alone where that covers more: what a pool hands out is at times
// larger than what was asked for.
std::optional<Found> repeats_in(Sequence&& sequence, RoleCache& roles) {
  constexpr size_t shortest = 4;
  const StepRoles known = roles_of(sequence, roles);
  const std::vector<uint32_t>& backward = known.backward_before;
  const auto may_repeat = [&](size_t begin, size_t period) {
    if (backward.back() == 0) return true;
    const size_t end = std::min(begin + period, backward.size() - 1);
    const uint32_t count = backward[end] - backward[begin];
    return count > 0 && count < period;
  };
  const auto search = [&](bool with_sizes, bool partial) {
    return find_repeats(keys_of(sequence, known.identities, with_sizes), shortest, partial,
                        may_repeat);
  };
  // By sizes on a thread of its own, where it takes long enough to be worth one.
  const auto policy = sequence.steps.size() < kFewestForThread
                          ? std::launch::deferred
                          : std::launch::async | std::launch::deferred;
  Found found;
  found.passes_known = backward.back() > 0;
  for (const bool partial : {false, true}) {
    if (partial && backward.back() == 0) continue;
    auto by_sizes = std::async(policy, search, true, partial);
    Repeats by_stacks = search(false, partial);
    for (const bool with_sizes : {true, false}) {
      Repeats repeats = with_sizes ? by_sizes.get() : std::move(by_stacks);
      if (repeats.begins.empty() || repeats.covered <= found.repeats.covered) continue;
      found.repeats = std::move(repeats);
      found.sizes_repeat = with_sizes;
    }
    if (!found.repeats.begins.empty()) break;
  }
  if (sequence.basis == Basis::kHeap && found.passes_known) {
    Repeats passes = passes_of(sequence, roles);
    if (passes.begins.size() > 1 && passes.begins.size() != found.repeats.begins.size()) {
      found.repeats = std::move(passes);
      found.sizes_repeat = false;
      found.by_passes = true;
    }
  }
  if (found.repeats.begins.empty()) return std::nullopt;
  if (found.passes_known) {
    sequence.keys = keys_of(sequence, known.identities, false);
    begin_with_forward(roles, sequence, found.repeats);
  }
  sequence.keys = {};
  found.sequence = std::move(sequence);
  return found;
}

// Of the host, the stacks that occur most often: what a loop does it does again, and a million
// stacks that occur once (imports of Python) would take minutes to look up.
std::unordered_set<int64_t> frequent_stacks(const Sequence& sequence) {
  constexpr size_t most = 4000;
  std::unordered_map<int64_t, uint32_t> counts;
  for (const Step& step : sequence.steps) ++counts[static_cast<int64_t>(step.stack)];
  std::vector<std::pair<uint32_t, int64_t>> order;
  for (const auto& [stack, count] : counts) order.emplace_back(count, stack);
  std::sort(order.begin(), order.end(), std::greater<>());
  if (order.size() > most) order.resize(most);
  std::unordered_set<int64_t> stacks;
  for (const auto& [count, stack] : order) stacks.insert(stack);
  return stacks;
}

// A pool tells most; the driver where there is none; of the host only what is not small change.
// A few milliseconds of a host program that look alike (modules that are imported, one after the
// other) are no training.
bool is_brief(const Found& found, int64_t whole_ns) {
  constexpr int64_t fiftieth = 50;
  const auto& steps = found.sequence.steps;
  const int64_t begin = steps[found.repeats.begins.front()].time_ns;
  return steps[found.repeats.end - 1].time_ns - begin < whole_ns / fiftieth;
}

// `looked_at` is kept for as long as `roles`.
Result<Found> find_sequence(const trace::Reader& reader, RoleCache& roles,
                            std::unordered_set<int64_t>& looked_at) {
  struct Try {
    trace::Layer layer;
    Basis basis;
  };
  constexpr Try tries[] = {{trace::Layer::kPool, Basis::kPool},
                           {trace::Layer::kDriver, Basis::kDriver},
                           {trace::Layer::kPool, Basis::kKernels}};
  for (const Try& attempt : tries) {
    auto sequence = device_sequence(reader, attempt.layer, attempt.basis);
    if (!sequence) return tl::unexpected(sequence.error());
    if (auto found = repeats_in(std::move(*sequence), roles)) return std::move(*found);
  }
  auto sequences = host_sequences(reader);
  if (!sequences) return tl::unexpected(sequences.error());
  for (Sequence& sequence : *sequences) {
    looked_at = frequent_stacks(sequence);
    roles.look_only_at(&looked_at);
    auto found = repeats_in(std::move(sequence), roles);
    if (found && !is_brief(*found, reader.end_ns())) return std::move(*found);
  }
  return Found{};
}

std::vector<Iteration> iterations_of(const trace::Reader& reader, const Found& found) {
  const std::vector<Step>& steps = found.sequence.steps;
  const Repeats& repeats = found.repeats;
  std::vector<Iteration> iterations;
  bool seen_regular = false;
  int64_t longest_tail = 0;  // from the last step of a repeat to the next repeat's first
  for (size_t i = 0; i < repeats.begins.size(); ++i) {
    Iteration iteration;
    iteration.begin_ns = steps[repeats.begins[i]].time_ns;
    iteration.regular = repeats.regular[i];
    seen_regular = seen_regular || iteration.regular;
    iteration.warm_up = !seen_regular;
    if (i + 1 < repeats.begins.size()) {
      const size_t next = repeats.begins[i + 1];
      iteration.end_ns = steps[next].time_ns;
      longest_tail = std::max(longest_tail, iteration.end_ns - steps[next - 1].time_ns);
    }
    iterations.push_back(iteration);
  }
  if (iterations.empty()) return iterations;
  const int64_t last_ns = steps[repeats.end - 1].time_ns;
  int64_t end = std::max(reader.end_ns(), last_ns);
  for (const trace::Process& process : reader.processes()) {
    if (process.id == found.sequence.process) end = std::min(end, process.end_ns);
  }
  int64_t guess = 0;
  if (!__builtin_add_overflow(last_ns, longest_tail, &guess)) end = std::min(end, guess);
  if (repeats.end < steps.size()) end = std::min(end, steps[repeats.end].time_ns);
  iterations.back().end_ns = std::max(end, last_ns);
  return iterations;
}

// ------------------------------------------------------------------------------------- phases

struct Hint {
  int64_t time_ns = 0;
  std::optional<Phase> phase;
};

// Within one iteration: what has no hint of its own belongs to the forward pass when it comes
// before one, else to what came before it.
void add_spans(std::span<const Hint> hints, const Iteration& iteration, int32_t number,
               std::vector<PhaseSpan>& spans) {
  Phase now = Phase::kForward;
  spans.push_back({iteration.begin_ns, 0, now, number});
  int64_t unhinted_since = iteration.begin_ns;
  bool unhinted = true;
  for (const Hint& hint : hints) {
    if (!hint.phase) {
      if (!unhinted) unhinted_since = hint.time_ns;
      unhinted = true;
      continue;
    }
    if (*hint.phase != now && *hint.phase != Phase::kOther) {
      const bool early = *hint.phase == Phase::kForward && unhinted;
      now = *hint.phase;
      const int64_t begin = early ? unhinted_since : hint.time_ns;
      if (begin == spans.back().begin_ns) {
        spans.back().phase = now;
      } else {
        spans.push_back({begin, 0, now, number});
      }
    }
    unhinted = false;
  }
}

// Where nothing is named: what an iteration allocates rises through forward and falls through
// backward. Where little of what lives at the highest point came long before, it says nothing.
std::optional<int64_t> turn_of(std::span<const Step> steps, int64_t end_ns) {
  std::vector<std::pair<int64_t, int64_t>> changes;
  for (const Step& step : steps) {
    changes.emplace_back(step.time_ns, static_cast<int64_t>(step.size));
    if (step.end_ns < end_ns) changes.emplace_back(step.end_ns, -static_cast<int64_t>(step.size));
  }
  std::sort(changes.begin(), changes.end());
  int64_t live = 0;
  int64_t peak = 0;
  int64_t peak_ns = 0;
  for (const auto& [time, change] : changes) {
    live += change;
    if (live <= peak) continue;
    peak = live;
    peak_ns = time;
  }
  size_t held = 0;
  size_t before = 0;
  for (const Step& step : steps) {
    if (step.time_ns > peak_ns) continue;
    ++before;
    if (step.end_ns > peak_ns && step.end_ns < end_ns) ++held;
  }
  if (before < 2 || held * 2 < before || before == steps.size()) return std::nullopt;
  return peak_ns;
}

void close_spans(Structure& structure) {
  std::vector<PhaseSpan>& spans = structure.phases;
  for (size_t i = 0; i + 1 < spans.size(); ++i) spans[i].end_ns = spans[i + 1].begin_ns;
  if (!spans.empty()) spans.back().end_ns = trace::kNever;
}

void find_phases(const Found& found, RoleCache& roles, Structure& structure) {
  const std::vector<Step>& steps = found.sequence.steps;
  const Repeats& repeats = found.repeats;
  bool python = false;
  bool named = false;
  bool shaped = false;
  structure.phases.push_back({std::numeric_limits<int64_t>::min(), 0, Phase::kSetup, -1});
  for (size_t i = 0; i < structure.iterations.size(); ++i) {
    const Iteration& iteration = structure.iterations[i];
    const size_t begin = repeats.begins[i];
    const size_t end = i + 1 < repeats.begins.size() ? repeats.begins[i + 1] : repeats.end;
    std::vector<Hint> hints;
    bool any = false;
    for (size_t at = begin; at < end; ++at) {
      const std::optional<Phase> phase = roles.phase_of(steps[at].stack, steps[at].thread);
      hints.push_back({steps[at].time_ns, phase});
      any = any || phase.has_value();
      (roles.role(steps[at].stack).from_python ? python : named) |= phase.has_value();
      // A step of the optimizer that only frees is seen by where it frees.
      const std::optional<Phase> freed = roles.role(steps[at].free_stack).phase;
      if (freed == Phase::kOptimizer && steps[at].end_ns < iteration.end_ns) {
        hints.push_back({steps[at].end_ns, freed});
      }
    }
    std::stable_sort(hints.begin(), hints.end(),
                     [](const Hint& a, const Hint& b) { return a.time_ns < b.time_ns; });
    const auto number = static_cast<int32_t>(i);
    if (any) {
      add_spans(hints, iteration, number, structure.phases);
      continue;
    }
    const auto turn = found.sequence.basis == Basis::kKernels
                          ? std::nullopt
                          : turn_of(std::span(steps).subspan(begin, end - begin), iteration.end_ns);
    structure.phases.push_back(
        {iteration.begin_ns, 0, turn ? Phase::kForward : Phase::kOther, number});
    if (turn && *turn > iteration.begin_ns) {
      structure.phases.push_back({*turn, 0, Phase::kBackward, number});
    }
    shaped = shaped || turn.has_value();
  }
  structure.phases.push_back({structure.iterations.back().end_ns, 0, Phase::kOther, -1});
  close_spans(structure);
  structure.phases_sureness = python  ? Sureness::kSure
                              : named ? Sureness::kLikely
                                      : Sureness::kGuess;
  structure.phases_from = python   ? "call stacks"
                          : named  ? "names of functions"
                          : shaped ? "the rise and fall of memory"
                                   : "nothing that was recorded";
}

}  // namespace

const char* to_string(Phase phase) {
  constexpr const char* names[] = {"setup", "forward", "backward", "optimizer", "other"};
  static_assert(std::size(names) == kPhases);
  return names[static_cast<size_t>(phase)];
}

const char* to_string(Sureness sureness) {
  constexpr const char* names[] = {"guess", "likely", "sure"};
  return names[static_cast<size_t>(sureness)];
}

const char* to_string(Basis basis) {
  constexpr const char* names[] = {"none", "pool", "driver", "heap", "kernels"};
  return names[static_cast<size_t>(basis)];
}

int32_t Structure::iteration_at(int64_t time_ns) const {
  const auto after = std::upper_bound(
      iterations.begin(), iterations.end(), time_ns,
      [](int64_t time, const Iteration& iteration) { return time < iteration.begin_ns; });
  if (after == iterations.begin()) return -1;
  const auto at = std::prev(after);
  return time_ns < at->end_ns ? static_cast<int32_t>(at - iterations.begin()) : -1;
}

Phase Structure::phase_at(int64_t time_ns) const {
  const auto after =
      std::upper_bound(phases.begin(), phases.end(), time_ns,
                       [](int64_t time, const PhaseSpan& span) { return time < span.begin_ns; });
  return after == phases.begin() ? Phase::kOther : std::prev(after)->phase;
}

int64_t Structure::usual_ns() const {
  std::vector<int64_t> lengths;
  for (const Iteration& iteration : iterations) {
    if (iteration.regular) lengths.push_back(iteration.end_ns - iteration.begin_ns);
  }
  if (lengths.empty()) return 0;
  const auto middle = lengths.begin() + static_cast<ptrdiff_t>(lengths.size() / 2);
  std::nth_element(lengths.begin(), middle, lengths.end());
  return *middle;
}

size_t Structure::warm_ups() const {
  return static_cast<size_t>(
      std::count_if(iterations.begin(), iterations.end(),
                    [](const Iteration& iteration) { return iteration.warm_up; }));
}

Result<Structure> find_structure(const trace::Reader& reader) {
  Structure structure;
  RoleCache roles(reader);
  std::unordered_set<int64_t> looked_at;
  auto found = find_sequence(reader, roles, looked_at);
  if (!found) return tl::unexpected(found.error());
  if (found->repeats.begins.empty()) return structure;
  structure.basis = found->sequence.basis;
  structure.process = found->sequence.process;
  structure.iterations = iterations_of(reader, *found);
  const auto regular = std::count_if(structure.iterations.begin(), structure.iterations.end(),
                                     [](const Iteration& one) { return one.regular; });
  constexpr auto several = 3;
  const bool seen_often = regular >= several && found->sizes_repeat;
  structure.iterations_sureness = regular < 2                         ? Sureness::kGuess
                                  : seen_often || found->passes_known ? Sureness::kSure
                                                                      : Sureness::kLikely;
  structure.by_passes = found->by_passes;
  find_phases(*found, roles, structure);
  return structure;
}

}  // namespace tidemark::analyzer
