// The backward passes of one process, each with the operations of forward that it may undo: both as
// sequences, with the blocks that each had in hand. Private to the analyzer. Pure.
//
//   pool's blocks and kernels, as they were asked for
//   forward…  a k a k k a k a k | backward…  a k a a k k a k |  forward…  a k a …
//   operations    1  2   3   4   nodes           4    3    2
#pragma once

#include <unordered_map>
#include <vector>

#include "autograd_stack.h"
#include "operation_names.h"
#include "tidemark/analyzer/usage.h"
#include "tidemark/trace/reader.h"

namespace tidemark::analyzer {

// Numbers for names; the same name has the same number.
class NameNumbers {
 public:
  int32_t number(const std::string& name) {
    const auto [found, fresh] = numbers_.try_emplace(name, static_cast<int32_t>(names_.size()));
    if (fresh) names_.push_back(name);
    return found->second;
  }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

 private:
  std::unordered_map<std::string, int32_t> numbers_;
  std::vector<std::string> names_;
};

// What followed each other under the same lines of Python and by the same name.
struct Operation {
  int32_t name = 0;              // into Passes::operations
  trace::StackId stack{};        // of its first block or kernel
  trace::ThreadId thread{};      // that asked for its first block; 0: it asked for none
  int64_t begin_ns = 0;          // of its first block; of a kernel not later than its launch
  int64_t made = -1;             // the first block that it asked for
  std::vector<uint32_t> blocks;  // made or handed to its kernels; ascending, no duplicates
};

struct NodeRun {
  int32_t name = 0;              // into Passes::nodes; -1: the engine before any node
  std::vector<uint32_t> made;    // blocks
  std::vector<uint32_t> blocks;  // that its kernels were handed
};

struct BackwardPass {
  std::vector<NodeRun> nodes;
  size_t first_operation = 0;  // into Passes::operation_runs
  size_t end_operation = 0;
  int64_t begin_ns = 0;
};

struct Passes {
  trace::ProcessId process{};
  std::vector<trace::AllocationId> block_ids;  // by number; ascending
  std::vector<uint64_t> block_sizes;
  std::vector<Operation> operation_runs;
  std::vector<BackwardPass> passes;
  NameNumbers nodes;
  OperationNames operations;
};

// Of each process that has any.
[[nodiscard]] Result<std::vector<Passes>> read_passes(const trace::Reader& reader,
                                                      const Series& series);

}  // namespace tidemark::analyzer
