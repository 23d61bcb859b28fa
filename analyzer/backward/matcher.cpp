#include "matcher.h"

#include <algorithm>
#include <unordered_map>

namespace tidemark::analyzer {

Matcher::Matcher(const Passes& passes, HostOperations& host) : passes_(passes), host_(host) {
  for (int32_t name = 0; name < static_cast<int32_t>(passes_.operations.size()); ++name) {
    makes_.push_back(nodes_made_by(passes_.operations.at(name)));
  }
}

std::vector<int32_t> Matcher::nodes_made_by(const std::vector<std::string>& called) const {
  const std::vector<std::string>& nodes = passes_.nodes.names();
  std::vector<int32_t> makes;
  for (size_t node = 0; node < nodes.size(); ++node) {
    const bool fits = std::any_of(called.begin(), called.end(), [&](const std::string& name) {
      return makes_node(name, nodes[node]);
    });
    if (fits) makes.push_back(static_cast<int32_t>(node));
  }
  return makes;
}

Result<std::vector<Match>> Matcher::match(const BackwardPass& pass, size_t from) {
  std::vector<int32_t> nodes;
  std::vector<int32_t> operations;
  for (const NodeRun& run : pass.nodes) nodes.push_back(run.name);
  for (size_t i = from; i < pass.end_operation; ++i) {
    operations.push_back(passes_.operation_runs[i].name);
  }
  const auto [known, fresh] = known_.try_emplace(
      std::tuple(std::move(nodes), std::move(operations), shared_blocks(pass, from)));
  if (!fresh) return known->second;
  const auto& [names, of_forward, shared] = known->first;
  const std::vector<int32_t> aligned = align({names, of_forward, makes_, shared, false});
  for (size_t i = 0; i < aligned.size(); ++i) {
    const std::pair<int32_t, int32_t> pair(static_cast<int32_t>(i), aligned[i]);
    known->second.push_back(
        {aligned[i], std::binary_search(shared.begin(), shared.end(), pair), {}});
  }
  if (auto looked = look_on_host(pass, from, known->second); !looked) {
    return tl::unexpected(looked.error());
  }
  return known->second;
}

// Blocks that few operations had in hand tell something, and only what is older than the pass.
Matcher::Pairs Matcher::shared_blocks(const BackwardPass& pass, size_t from) const {
  constexpr size_t most = 8;
  std::unordered_map<uint32_t, std::vector<int32_t>> holders;
  for (size_t i = from; i < pass.end_operation; ++i) {
    for (const uint32_t block : passes_.operation_runs[i].blocks) {
      std::vector<int32_t>& of_block = holders[block];
      if (of_block.size() <= most) of_block.push_back(static_cast<int32_t>(i - from));
    }
  }
  Pairs pairs;
  for (size_t node = 0; node < pass.nodes.size(); ++node) {
    for (const uint32_t block : pass.nodes[node].blocks) {
      const auto found = holders.find(block);
      if (found == holders.end() || found->second.size() > most) continue;
      for (const int32_t operation : found->second) {
        pairs.emplace_back(static_cast<int32_t>(node), operation);
      }
    }
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  return pairs;
}

// For the nodes of each gap: what the heap has seen between the operations of its neighbours.
Result<void> Matcher::look_on_host(const BackwardPass& pass, size_t from,
                                   std::vector<Match>& matches) {
  if (!host_.recorded() || from == pass.end_operation) return {};
  const auto found = [](const Match& match) { return match.found(); };
  std::vector<Gap> gaps;
  std::vector<HostOperations::Window> windows;
  for (auto begin = matches.begin(); begin != matches.end();) {
    begin = std::find_if_not(begin, matches.end(), found);
    if (begin == matches.end()) break;
    const auto end = std::find_if(begin, matches.end(), found);
    const int32_t earlier = end == matches.end() ? kNoOperation : end->operation;
    const int32_t later = begin == matches.begin() ? kNoOperation : std::prev(begin)->operation;
    gaps.push_back(
        {static_cast<size_t>(begin - matches.begin()), static_cast<size_t>(end - matches.begin())});
    windows.push_back(window_between(pass, from, earlier, later));
    begin = end;
  }
  std::reverse(gaps.begin(), gaps.end());  // as time goes
  std::reverse(windows.begin(), windows.end());
  if (auto read = host_.read(passes_.process, windows); !read) return read;
  while (host_makes_.size() < host_.names().size()) {
    host_makes_.push_back(
        nodes_made_by(host_.names().at(static_cast<int32_t>(host_makes_.size()))));
  }
  for (size_t i = 0; i < gaps.size(); ++i) fill(pass, gaps[i], windows[i], matches);
  return {};
}

// Up to the later operation, or the first after it that asked for a block: of others it is not
// known when they were launched. kNoOperation: from the first, to the last.
HostOperations::Window Matcher::window_between(const BackwardPass& pass, size_t from,
                                               int32_t earlier, int32_t later) const {
  const std::vector<Operation>& runs = passes_.operation_runs;
  const size_t first = from + static_cast<size_t>(std::max(earlier, 0));
  HostOperations::Window window;
  window.begin_ns = runs[first].begin_ns;
  window.end_ns = pass.begin_ns;
  window.thread = runs[first].thread;
  if (later == kNoOperation) return window;
  for (size_t i = from + static_cast<size_t>(later); i < pass.end_operation; ++i) {
    if (runs[i].thread == trace::ThreadId{}) continue;
    window.end_ns = runs[i].begin_ns;
    break;
  }
  return window;
}

void Matcher::fill(const BackwardPass& pass, const Gap& gap, const HostOperations::Window& window,
                   std::vector<Match>& matches) {
  std::vector<int32_t> nodes;
  std::vector<int32_t> operations;
  for (size_t i = gap.begin; i < gap.end; ++i) nodes.push_back(pass.nodes[i].name);
  for (const HostOperation& seen : window.operations) operations.push_back(seen.name);
  // Only where a gradient does not lie in memory as it is to be seen does a view copy it: x.view()
  // is that view rather than the .reshape() which undoes it, both having been followed by a
  // transpose.
  const std::vector<int32_t> aligned = align({nodes, operations, host_makes_, {}, true});
  for (size_t i = 0; i < aligned.size(); ++i) {
    if (aligned[i] == kNoOperation) continue;
    matches[gap.begin + i].on_host = window.operations[static_cast<size_t>(aligned[i])].stack;
  }
}

}  // namespace tidemark::analyzer
