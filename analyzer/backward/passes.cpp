#include "passes.h"

#include <algorithm>
#include <map>

#include "../lifetimes.h"
#include "../stack_roles.h"

namespace tidemark::analyzer {
namespace {

using Kind = AutogradStack::Kind;

// The leaves and the engine belong to whatever node ran before them.
struct StackClass {
  Kind kind = Kind::kNone;
  bool leaf = false;
  int32_t name = -1;    // of a node
  int32_t called = -1;  // of an operation: what it may be called
  uint64_t python = 0;
};

struct Block {
  trace::AllocationId id{};
  uint64_t size = 0;
  int64_t alloc_ns = 0;
  trace::StackId stack{};
  trace::ThreadId thread{};
};

struct Launch {
  int64_t id = 0;
  uint32_t correlation = 0;
  trace::StackId stack{};
  int64_t not_before_ns = 0;  // when the last of the blocks that it was handed was made
  uint32_t first_use = 0;     // into `uses`
  uint32_t uses = 0;
};

struct ProcessRows {
  std::vector<Block> blocks;  // ascending by id
  std::vector<Launch> launches;
  std::vector<uint32_t> uses;  // numbers of blocks, by launch
};

using Rows = std::map<trace::ProcessId, ProcessRows>;

bool on_host(const Series& series) {
  return series.layer == trace::Layer::kOs || series.layer == trace::Layer::kHeap;
}

Result<Rows> read_blocks(const trace::Reader& reader, const Series& series) {
  // Of the millions of small ones on the host, tensors are not made.
  constexpr uint64_t least_on_host = 4096;
  Rows rows;
  auto read = reader.allocations(filter_for(series), [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (on_host(series) && row.size < least_on_host) continue;
      rows[row.process].blocks.push_back(
          {row.id, row.size, row.alloc_ns, row.alloc_stack, row.thread});
    }
  });
  if (!read) return tl::unexpected(read.error());
  return rows;
}

Result<void> read_launches(const trace::Reader& reader, int16_t device, Rows& rows) {
  struct Owner {
    int64_t id;
    ProcessRows* process;
    size_t launch;
  };
  std::vector<Owner> owners;  // ascending by id, as kernels are read
  auto read = reader.kernels([&](std::span<const trace::Kernel> batch) {
    for (const trace::Kernel& row : batch) {
      const auto process = rows.find(row.process);
      if (process == rows.end() || row.device != device || row.graph != 0) continue;
      std::vector<Launch>& launches = process->second.launches;
      owners.push_back({row.id, &process->second, launches.size()});
      launches.push_back({row.id, row.correlation, row.stack, 0, 0, 0});
    }
  });
  if (!read) return read;
  auto owner = owners.begin();
  return reader.accesses({}, [&](std::span<const trace::Access> batch) {
    for (const trace::Access& row : batch) {
      while (owner != owners.end() && owner->id < row.kernel) ++owner;
      if (owner == owners.end() || owner->id != row.kernel) continue;
      const std::vector<Block>& blocks = owner->process->blocks;
      const auto block = std::lower_bound(
          blocks.begin(), blocks.end(), row.allocation,
          [](const Block& a, trace::AllocationId wanted) { return a.id < wanted; });
      if (block == blocks.end() || block->id != row.allocation) continue;
      Launch& launch = owner->process->launches[owner->launch];
      std::vector<uint32_t>& uses = owner->process->uses;
      if (launch.uses == 0) launch.first_use = static_cast<uint32_t>(uses.size());
      ++launch.uses;
      launch.not_before_ns = std::max(launch.not_before_ns, block->alloc_ns);
      uses.push_back(static_cast<uint32_t>(block - blocks.begin()));
    }
  });
}

// Kernels in the order in which they were launched. When, on the host, is not recorded: not before
// the last block was made that any of them so far was handed.
void order_launches(ProcessRows& rows) {
  std::stable_sort(rows.launches.begin(), rows.launches.end(),
                   [](const Launch& a, const Launch& b) { return a.correlation < b.correlation; });
  int64_t latest = std::numeric_limits<int64_t>::min();
  for (Launch& launch : rows.launches) {
    latest = std::max(latest, launch.not_before_ns);
    launch.not_before_ns = latest;
  }
}

class PassBuilder {
 public:
  PassBuilder(const trace::Reader& reader, const ProcessRows& rows)
      : reader_(reader), rows_(rows) {}

  Passes build() {
    std::vector<uint32_t> order(rows_.blocks.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint32_t>(i);
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return rows_.blocks[a].alloc_ns < rows_.blocks[b].alloc_ns;
    });
    size_t launch = 0;
    const auto launch_before = [&](int64_t time_ns) {
      while (launch < rows_.launches.size() && rows_.launches[launch].not_before_ns < time_ns) {
        add(rows_.launches[launch++]);
      }
    };
    for (const uint32_t number : order) {
      launch_before(rows_.blocks[number].alloc_ns);
      add_block(number);
    }
    launch_before(trace::kNever);
    for (const Block& block : rows_.blocks) {
      result_.block_ids.push_back(block.id);
      result_.block_sizes.push_back(block.size);
    }
    finish();
    return std::move(result_);
  }

 private:
  const StackClass& class_of(trace::StackId stack) {
    const auto [found, fresh] = classes_.try_emplace(static_cast<int64_t>(stack));
    if (!fresh || stack == trace::StackId{}) return found->second;
    AutogradStack frames = autograd_stack(reader_.frames(stack));
    StackClass& known = found->second;
    known.kind = frames.kind;
    known.leaf = frames.leaf;
    known.python = frames.python;
    if (frames.kind == Kind::kNode && !frames.leaf) known.name = result_.nodes.number(frames.node);
    // What the optimizer does is no part of forward.
    if (frames.kind == Kind::kOperation &&
        role_of_stack(reader_.frames(stack)).phase == Phase::kOptimizer) {
      known.kind = Kind::kNone;
    }
    if (known.kind == Kind::kOperation) {
      known.called = result_.operations.number(frames.operations);
    }
    return known;
  }

  void add_block(uint32_t number) {
    const Block& block = rows_.blocks[number];
    const StackClass& known = class_of(block.stack);
    if (known.kind == Kind::kOperation) {
      Operation& run = operation(known, block.stack, block.alloc_ns);
      if (run.made < 0) {
        run.made = number;
        run.thread = block.thread;
      }
      run.blocks.push_back(number);
    } else if (known.kind != Kind::kNone) {
      node(known, &block.stack, block.alloc_ns).made.push_back(number);
    }
  }

  void add(const Launch& launch) {
    const StackClass& known = class_of(launch.stack);
    if (known.kind == Kind::kNone) return;
    std::vector<uint32_t>& blocks =
        known.kind == Kind::kOperation ? operation(known, launch.stack, launch.not_before_ns).blocks
                                       : node(known, nullptr, launch.not_before_ns).blocks;
    const auto first = rows_.uses.begin() + launch.first_use;
    blocks.insert(blocks.end(), first, first + launch.uses);
  }

  Operation& operation(const StackClass& known, trace::StackId stack, int64_t time_ns) {
    std::vector<Operation>& runs = result_.operation_runs;
    const bool same = !in_backward_ && !runs.empty() && last_python_ == known.python &&
                      result_.operations.of_one_call(runs.back().name, known.called);
    if (!same) runs.push_back({known.called, stack, {}, time_ns, -1, {}});
    runs.back().name = result_.operations.merged(runs.back().name, known.called);
    in_backward_ = false;
    last_python_ = known.python;
    return runs.back();
  }

  // `asking`: the stack that asks for a block; nullptr: a kernel's.
  NodeRun& node(const StackClass& known, const trace::StackId* asking, int64_t time_ns) {
    if (!in_backward_) {
      const size_t first = result_.passes.empty() ? 0 : result_.passes.back().end_operation;
      result_.passes.push_back({{}, first, result_.operation_runs.size(), time_ns});
      in_backward_ = true;
      over_ = true;
    }
    std::vector<NodeRun>& runs = result_.passes.back().nodes;
    const bool of_node = known.kind == Kind::kNode && !known.leaf;
    if (!of_node) {
      // It ends the node before it, but its blocks are that node's.
      if (runs.empty()) runs.push_back({-1, {}, {}});
      over_ = true;
      return runs.back();
    }
    const bool asked_before =
        asking != nullptr && std::find(asked_.begin(), asked_.end(), *asking) != asked_.end();
    if (over_ || runs.empty() || runs.back().name != known.name || asked_before) {
      runs.push_back({known.name, {}, {}});
      asked_.clear();
      over_ = false;
    }
    if (asking != nullptr) asked_.push_back(*asking);
    return runs.back();
  }

  void finish() {
    const auto unique = [](std::vector<uint32_t>& numbers) {
      std::sort(numbers.begin(), numbers.end());
      numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    };
    for (Operation& run : result_.operation_runs) unique(run.blocks);
    for (BackwardPass& pass : result_.passes) {
      for (NodeRun& run : pass.nodes) unique(run.blocks);
    }
  }

  const trace::Reader& reader_;
  const ProcessRows& rows_;
  std::unordered_map<int64_t, StackClass> classes_;
  Passes result_;
  bool in_backward_ = false;
  bool over_ = false;                  // whatever comes next is another node
  std::vector<trace::StackId> asked_;  // for the blocks of this node
  uint64_t last_python_ = 0;
};

}  // namespace

Result<std::vector<Passes>> read_passes(const trace::Reader& reader, const Series& series) {
  std::vector<Passes> passes;
  auto rows = read_blocks(reader, series);
  if (!rows) return tl::unexpected(rows.error());
  if (series.space == trace::Space::kDevice) {
    if (auto read = read_launches(reader, series.device, *rows); !read) {
      return tl::unexpected(read.error());
    }
  }
  for (auto& [process, of_process] : *rows) {
    order_launches(of_process);
    Passes found = PassBuilder(reader, of_process).build();
    found.process = process;
    if (!found.passes.empty()) passes.push_back(std::move(found));
  }
  return passes;
}

}  // namespace tidemark::analyzer
