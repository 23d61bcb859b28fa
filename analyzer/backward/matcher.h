// The operation of forward that each node of a backward pass belongs to: what align() finds, and
// for the nodes that it leaves what the heap has seen. Private to the analyzer. Reads through
// trace::Reader; not shared between threads.
#pragma once

#include <map>
#include <tuple>
#include <vector>

#include "align.h"
#include "host_operations.h"
#include "passes.h"

namespace tidemark::analyzer {

// Of one node, in one pass.
struct Match {
  int32_t operation = kNoOperation;  // counted from the first that the pass may undo
  bool shared = false;               // a block that both had in hand says so too
  trace::StackId on_host{};          // of an operation that only the heap has seen
  [[nodiscard]] bool found() const { return operation != kNoOperation; }
};

class Matcher {
 public:
  Matcher(const Passes& passes, HostOperations& host);
  // Of each node of the pass; `from`: into Passes::operation_runs, the first that it may undo.
  [[nodiscard]] Result<std::vector<Match>> match(const BackwardPass& pass, size_t from);

 private:
  using Pairs = std::vector<std::pair<int32_t, int32_t>>;
  // Nodes that follow each other and whose operations the device did not see.
  struct Gap {
    size_t begin = 0;
    size_t end = 0;
  };

  [[nodiscard]] std::vector<int32_t> nodes_made_by(const std::vector<std::string>& called) const;
  [[nodiscard]] Pairs shared_blocks(const BackwardPass& pass, size_t from) const;
  [[nodiscard]] Result<void> look_on_host(const BackwardPass& pass, size_t from,
                                          std::vector<Match>& matches);
  [[nodiscard]] HostOperations::Window window_between(const BackwardPass& pass, size_t from,
                                                      int32_t earlier, int32_t later) const;
  void fill(const BackwardPass& pass, const Gap& gap, const HostOperations::Window& window,
            std::vector<Match>& matches);

  const Passes& passes_;
  HostOperations& host_;
  std::vector<std::vector<int32_t>> makes_;  // of each name of an operation, the nodes
  std::vector<std::vector<int32_t>> host_makes_;
  // Passes are mostly alike.
  std::map<std::tuple<std::vector<int32_t>, std::vector<int32_t>, Pairs>, std::vector<Match>>
      known_;
};

}  // namespace tidemark::analyzer
