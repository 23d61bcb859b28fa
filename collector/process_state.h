// What the collector knows of one process image. Owned by Pairing; read by Symbolizer.
#pragma once

#include <tsl/robin_map.h>
#include <tsl/robin_set.h>

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "address_table.h"
#include "graph_nodes.h"
#include "launch_table.h"
#include "live_ranges.h"
#include "module_table.h"
#include "os_map.h"
#include "stack_tree.h"
#include "tidemark/trace/types.h"
#include "tidemark/wire/records.h"

namespace tidemark::collector {

struct Producer;

// Addresses and hashes are well mixed above their low bits at best: multiply, keep the high half.
struct AddressHash {
  size_t operator()(uint64_t value) const noexcept {
    const uint64_t mixed = (value >> 4 ^ value << 60) * 0x9e3779b97f4a7c15U;
    return mixed ^ mixed >> 32;
  }
};

struct StackEntry {
  trace::StackId id{};
  uint32_t innermost = StackTree::kNone;  // in ProcessState::stack_tree
  bool driver_source_known = false;
  bool pool_source_known = false;
  trace::StringId driver_source{};
  trace::StringId pool_source{};
};

// Small: one is looked up for each event, in a table that should stay in the caches.
struct StackRef {
  uint32_t number = 0;  // of trace::StackId
  uint32_t entry = 0;
  [[nodiscard]] trace::StackId id() const { return trace::StackId{number}; }
};

// A part of the tree of stacks as it came (wire::Stack).
struct StackPath {
  wire::StackId id = 0;         // of its innermost node
  std::vector<uint64_t> words;  // outermost first
  uint64_t time_ns = 0;
};

// An event that may have been stamped too early (pairing_heap.cpp).
struct Reversed {
  const Producer* producer;
  uint64_t address;
  uint64_t time_ns;
  trace::AllocationId row;  // overlapped: whose free is missing
  trace::StackId stack;     // early free: its own
};

struct NameEntry {
  std::string text;
  trace::StringId plain{};
  trace::StringId demangled{};
};

// Ranges that a thread has pushed in a domain and not yet popped.
struct PushedRanges {
  trace::ThreadId thread{};
  wire::NameId domain = 0;
  bool operator<(const PushedRanges& other) const {
    return thread != other.thread ? thread < other.thread : domain < other.domain;
  }
};

using BlockMap = AddressTable<trace::AllocationId>;

// Of time, CLOCK_MONOTONIC; not ended: end_ns is the largest.
struct WindowSpan {
  uint64_t begin_ns;
  uint64_t end_ns;
};

struct ProcessState {
  uint64_t key = 0;
  ProcessState* parent = nullptr;  // the image that it was forked from, or that called exec
  trace::ProcessId id{};
  int32_t pid = 0;
  bool forked = false;
  bool attached = false;  // ran before it was recorded
  bool foreign = false;   // its pid is of another pid namespace
  bool ended = false;
  uint64_t last_event_ns = 0;
  uint64_t exit_ns = 0;            // exit() was reached; 0: not
  uint32_t hidden_pools = 0;       // of the libraries it has loaded (hidden_pools.h)
  bool has_driver_memory = false;  // took memory of a device

  BlockMap heap, driver, pool;
  LiveRanges driver_ranges, pool_ranges;  // what kernels can be handed
  GraphNodes graph_nodes;
  bool tells_accesses = false;        // some launch has told what its kernel was handed
  std::vector<Reversed> early_frees;  // of blocks that nobody knows yet
  std::vector<Reversed> overlapped;   // blocks whose address was given to another before their free
  OsMap os;
  LaunchTable launches;
  std::map<int16_t, uint64_t> pool_reserved;
  // What a pool of the driver was last said to have.
  struct PoolSizes {
    uint64_t held = 0;
    uint64_t used = 0;
    bool operator==(const PoolSizes&) const = default;
  };
  std::map<uint64_t, PoolSizes> driver_pools;
  // Other processes' memory that is open, by address; once for each opening, the oldest first.
  std::map<uint64_t, std::deque<trace::ImportId>> imports;
  std::map<int32_t, trace::ThreadId> threads;
  std::map<PushedRanges, std::vector<trace::MarkerId>> pushed;  // innermost last; none is empty
  tsl::robin_map<uint64_t, trace::MarkerId, AddressHash> started;
  std::vector<trace::MarkerId> window_ranges;  // open ones that keep the window open
  std::vector<WindowSpan> window_spans;        // of the process alone, ascending
  trace::WindowId window{};
  std::set<int32_t> backward_threads;  // tids of PyTorch's
  bool in_backward = false;
  bool main_thread_launches = false;
  int64_t iterations = 0;  // begun; counted for windows of iterations only

  tsl::robin_map<wire::StackId, uint32_t, AddressHash> nodes;  // of stack_tree
  AddressTable<StackRef> stacks;                               // nodes that events have named
  tsl::robin_map<wire::StackId, std::vector<StackPath>, AddressHash> orphans;  // by caller to come
  std::vector<StackEntry> stack_entries;
  StackTree stack_tree;
  tsl::robin_map<wire::NameId, NameEntry, AddressHash> names;
  ModuleTable modules;

  // An event waits for a stack that is not defined yet (merge.h: stalls this process only).
  bool stalled = false;
  wire::StackId missing = 0;
  uint64_t missing_since_ns = 0;
  tsl::robin_set<wire::StackId, AddressHash> given_up;
};

}  // namespace tidemark::collector
