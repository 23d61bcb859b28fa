// Layers from the modules on the stacks of a step's allocations. An instance has no name there,
// only a class and a place from which it was called: a second one shows in that the place's first
// stack comes again.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "tidemark/analyzer/schedule.h"

namespace tidemark::analyzer {
namespace {

using Calls = std::vector<ForwardCall>;

template <class Visit>
void each_forward_block(const Schedule& schedule, uint32_t step, const Visit& visit) {
  for (uint32_t i = 0; i < schedule.blocks.size(); ++i) {
    const ScheduledBlock& block = schedule.blocks[i];
    if (block.iteration == step && block.phase == Phase::kForward) visit(i);
  }
}

// A place in the code from which a module is called. One line can call two: what the layers are in,
// and the norm behind them.
using Place = std::pair<uint64_t, std::string>;
Place place_of(const ForwardCall& call) { return {call.call_site, call.name}; }

// The places from which modules are called more than once in a step.
std::set<Place> repeated_places(const Schedule& schedule) {
  std::map<Place, uint32_t> first_stack;
  std::set<Place> repeated;
  const auto steady = static_cast<uint32_t>(std::min<size_t>(schedule.iterations.size(), 2));
  each_forward_block(schedule, steady, [&](uint32_t i) {
    const uint32_t stack = schedule.blocks[i].stack;
    for (const ForwardCall& call : schedule.calls[stack]) {
      const auto [known, fresh] = first_stack.try_emplace(place_of(call), stack);
      if (!fresh && known->second == stack) repeated.insert(place_of(call));
    }
  });
  return repeated;
}

class Layers {
 public:
  Layers(Schedule& schedule, const std::string& module)
      : schedule_(schedule), module_(module), repeated_(repeated_places(schedule)) {}

  void find() {
    for (uint32_t step = 1; step <= schedule_.iterations.size(); ++step) {
      open_ = {};
      each_forward_block(schedule_, step, [&](uint32_t i) { add(i, step); });
    }
  }

 private:
  struct Open {
    uint64_t call_site = 0;
    uint32_t first_stack = 0;
    uint32_t instance = 0;
  };

  Calls::const_iterator layer_of(const Calls& calls) const {
    if (!module_.empty()) return std::ranges::find(calls, module_, &ForwardCall::name);
    const auto repeats = [&](const ForwardCall& call) {
      return repeated_.contains(place_of(call));
    };
    auto layer = std::ranges::find_if(calls, repeats);
    // A container's first operator is its first child's: it is the children that repeat.
    while (layer != calls.end() && layer->name == "Sequential" && layer + 1 != calls.end() &&
           repeats(*(layer + 1))) {
      ++layer;
    }
    return layer;
  }

  void add(uint32_t i, uint32_t step) {
    ScheduledBlock& block = schedule_.blocks[i];
    const Calls& calls = schedule_.calls[block.stack];
    const auto layer = layer_of(calls);
    if (layer == calls.end()) {
      open_ = {};
      return;
    }
    // Of a container by name all calls from one place are one.
    const bool container = layer->name == "Sequential";
    const bool again =
        open_.call_site != layer->call_site || (open_.first_stack == block.stack && !container);
    if (again) {
      schedule_.instances.push_back({layer->name, step, block.begin, block.begin});
      open_ = {layer->call_site, block.stack, static_cast<uint32_t>(schedule_.instances.size())};
    }
    block.instance = open_.instance;
    schedule_.instances[open_.instance - 1].end = block.begin;
  }

  Schedule& schedule_;
  const std::string& module_;
  std::set<Place> repeated_;
  Open open_;
};

}  // namespace

Result<void> find_layers(Schedule& schedule, const std::string& module) {
  schedule.instances.clear();
  for (ScheduledBlock& block : schedule.blocks) block.instance = 0;
  if (!schedule.iterations.empty()) Layers(schedule, module).find();
  if (!schedule.instances.empty()) return {};
  if (module.empty()) return fail("no layers that repeat: the stacks show no modules of Python");
  std::set<std::string> classes;
  for (const Calls& calls : schedule.calls) {
    for (const ForwardCall& call : calls) classes.insert(call.name);
  }
  return fail(fmt::format("no module of class {}; there are {}", module, fmt::join(classes, ", ")));
}

}  // namespace tidemark::analyzer
