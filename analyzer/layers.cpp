// Which module of the model each block belongs to.
//
// A stack names classes and lines, not instances: what runs a line before the last one of the same
// module is a new instance of it (the next turn of a loop over blocks), and so is a module without
// modules that allocates from its first stack again.
#include <algorithm>
#include <map>

#include "categorize_parts.h"
#include "lifetimes.h"

namespace tidemark::analyzer {
namespace {

class Modules {
 public:
  // Of one pass through the model; instances are counted anew.
  void restart() {
    open_.clear();
    counts_.clear();
  }

  // The innermost layer of a block; -1 where its stack names no module.
  int32_t enter(trace::StackId stack, const std::vector<ModuleCall>& calls) {
    size_t level = 0;
    int32_t parent = -1;
    bool fresh = false;  // all below a new instance are new
    int32_t line_of_caller = 0;
    for (; level < calls.size(); ++level) {
      const ModuleCall& call = calls[level];
      const bool innermost = level + 1 == calls.size();
      if (!fresh && level < open_.size()) {
        const Open& open = open_[level];
        const bool same = open.name == call.name && open.line_of_caller == line_of_caller &&
                          call.line >= open.line &&
                          !(innermost && open.leaf && open.first_stack == stack);
        fresh = !same;
      } else {
        fresh = true;
      }
      if (fresh) {
        open_.resize(level);
        const int32_t layer = instance(parent, call);
        open_.push_back({call.name, line_of_caller, call.line, stack, innermost, layer});
      }
      open_[level].line = call.line;
      parent = open_[level].layer;
      line_of_caller = call.line;
    }
    open_.resize(level);
    return parent;
  }

  std::vector<ModelLayer> take() { return std::move(layers_); }

 private:
  struct Open {
    std::string name;
    int32_t line_of_caller = 0;
    int32_t line = 0;
    trace::StackId first_stack{};
    bool leaf = false;
    int32_t layer = -1;
  };

  int32_t instance(int32_t parent, const ModuleCall& call) {
    const uint32_t number = counts_[{parent, call.name}]++;
    const auto [found, fresh] =
        known_.try_emplace({parent, call.name, number}, static_cast<int32_t>(layers_.size()));
    if (fresh) {
      ModelLayer layer;
      layer.name = call.name + "[" + std::to_string(number) + "]";
      layer.path =
          parent < 0 ? layer.name : layers_[static_cast<size_t>(parent)].path + "." + layer.name;
      layer.parent = parent;
      layer.function = call.function;
      layer.file = call.file;
      layers_.push_back(std::move(layer));
    }
    return found->second;
  }

  std::vector<Open> open_;
  std::map<std::pair<int32_t, std::string>, uint32_t> counts_;
  std::map<std::tuple<int32_t, std::string, uint32_t>, int32_t> known_;
  std::vector<ModelLayer> layers_;
};

struct Ended {
  int64_t free_ns = 0;
  int32_t layer = -1;
};

// A node of the backward pass allocates what it computes and then lets go of what forward saved
// for it: the next of these to die tells whose it is.
void place_backward(const Structure& structure, std::vector<Ended> ended,
                    const std::vector<int64_t>& alloc_ns, std::vector<BlockPlace>& blocks) {
  std::sort(ended.begin(), ended.end(),
            [](const Ended& a, const Ended& b) { return a.free_ns < b.free_ns; });
  for (size_t i = 0; i < blocks.size(); ++i) {
    BlockPlace& block = blocks[i];
    if (block.layer >= 0 || block.phase != Phase::kBackward) continue;
    const auto next =
        std::lower_bound(ended.begin(), ended.end(), alloc_ns[i],
                         [](const Ended& a, int64_t time) { return a.free_ns < time; });
    if (next == ended.end() || structure.iteration_at(next->free_ns) != block.iteration) continue;
    block.layer = next->layer;
    block.layer_sureness = Sureness::kGuess;
  }
}

}  // namespace

Result<BlockPlaces> place_blocks(const trace::Reader& reader, const Structure& structure,
                                 const trace::AllocationFilter& filter, RoleCache& roles) {
  BlockPlaces places;
  const Lifetimes lifetimes(reader);
  Modules modules;
  std::vector<Ended> ended;
  std::vector<int64_t> alloc_ns;
  bool in_forward = false;
  int32_t last_iteration = -1;
  auto read = reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      BlockPlace place;
      place.id = row.id;
      place.iteration = structure.iteration_at(row.alloc_ns);
      const std::optional<Phase> hint = roles.phase_of(row.alloc_stack, row.thread);
      const StackRole& role = roles.role(row.alloc_stack);
      place.phase = hint ? *hint : structure.phase_at(row.alloc_ns);
      place.phase_sureness = !hint        ? std::min(structure.phases_sureness, Sureness::kLikely)
                             : role.phase ? role.sureness
                                          : Sureness::kLikely;
      if (place.iteration != last_iteration || (place.phase == Phase::kForward) != in_forward) {
        modules.restart();
        last_iteration = place.iteration;
        in_forward = place.phase == Phase::kForward;
      }
      if (in_forward && !role.modules.empty()) {
        place.layer = modules.enter(row.alloc_stack, role.modules);
        place.layer_sureness = role.from_python ? Sureness::kSure : Sureness::kLikely;
        const int64_t end = lifetimes.end_ns(row);
        if (structure.phase_at(end) == Phase::kBackward) ended.push_back({end, place.layer});
      }
      places.blocks.push_back(place);
      alloc_ns.push_back(row.alloc_ns);
    }
  });
  if (!read) return tl::unexpected(read.error());
  places.layers = modules.take();
  place_backward(structure, std::move(ended), alloc_ns, places.blocks);
  return places;
}

Result<BlockPlaces> place_blocks(const trace::Reader& reader, const Structure& structure,
                                 const Series& series) {
  RoleCache roles(reader);
  return place_blocks(reader, structure, filter_for(series), roles);
}

}  // namespace tidemark::analyzer
