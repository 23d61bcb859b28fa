// Heap events: the many. Their stamps may be early by wire::kMaxEarlyNs, so at one address two
// events of two threads can come in reversed order:
//
//     what happened         thread A: free p      thread B: malloc → p
//     as it is stamped      B: malloc → p (while A's block lives)      A: free p
//
//     what happened         thread A: malloc → p  thread B: free p
//     as it is stamped      B: free p (which nobody has)      A: malloc → p
//
// At one address allocations and frees alternate, so either case is plain to see and has one way
// only to be put right, when the missing half follows soon and from another thread. When it does
// not, the event was what it seemed, and is counted: a forked child frees what it inherited, and
// another of its threads may get that address for a block of its own a moment later.
#include <algorithm>

#include "pairing.h"

namespace tidemark::collector {

using trace::Severity;

namespace {
constexpr size_t kFewReversed = 16;

bool is_soon(uint64_t before_ns, uint64_t after_ns) {
  return after_ns <= before_ns + wire::kMaxEarlyNs;
}
}  // namespace

bool Pairing::on_heap_alloc(Producer& producer, const wire::HeapAlloc& record, uint64_t time_ns) {
  ProcessState& process = *producer.process;
  StackRef* stack = nullptr;
  if (!resolve_stack(process, record.stack, stack)) return false;
  producer.last_free.kind = LastFree::Kind::kNone;
  trace::Allocation row;
  row.process = process.id;
  row.thread = producer.thread;
  row.layer = trace::Layer::kHeap;
  row.space = trace::Space::kHost;
  row.address = record.address;
  row.size = record.size;
  row.alloc_ns = trace_time(time_ns);
  row.alloc_stack = stack->id();
  row.api = api_text(record.header.detail);
  ++counts_.host_allocations;
  const trace::AllocationId id = writer_.add_allocation(row);
  const auto [block, fresh] = process.heap.insert(record.address, id);
  if (!fresh) {
    process.overlapped.push_back({&producer, record.address, time_ns, *block, {}});
    *block = id;
  } else if (!process.early_frees.empty()) {
    end_by_early_free(process, producer, record.address, time_ns, id);
  }
  return true;
}

void Pairing::end_by_early_free(ProcessState& process, const Producer& producer, uint64_t address,
                                uint64_t time_ns, trace::AllocationId row) {
  auto& frees = process.early_frees;
  const auto found = std::find_if(frees.begin(), frees.end(), [&](const Reversed& free) {
    return free.address == address && free.producer != &producer && is_soon(free.time_ns, time_ns);
  });
  if (found == frees.end()) return;
  writer_.end_allocation(row, trace::Layer::kHeap, trace_time(std::max(time_ns, found->time_ns)),
                         found->stack);
  process.heap.erase(address);
  frees.erase(found);
}

bool Pairing::end_overlapped(ProcessState& process, const Producer& producer, uint64_t address,
                             uint64_t time_ns, trace::StackId stack) {
  auto& blocks = process.overlapped;
  const auto found = std::find_if(blocks.begin(), blocks.end(), [&](const Reversed& block) {
    return block.address == address && block.producer != &producer &&
           is_soon(block.time_ns, time_ns);
  });
  if (found == blocks.end()) return false;
  // It was over when the address was given again.
  writer_.end_allocation(found->row, trace::Layer::kHeap,
                         trace_time(std::min(time_ns, found->time_ns)), stack);
  blocks.erase(found);
  return true;
}

bool Pairing::on_heap_free(Producer& producer, const wire::HeapFree& record, uint64_t time_ns) {
  ProcessState& process = *producer.process;
  StackRef* stack = nullptr;
  if (!resolve_stack(process, record.stack, stack)) return false;
  LastFree& last = producer.last_free;
  last.kind = LastFree::Kind::kNone;
  ++counts_.host_frees;
  if (!process.overlapped.empty() &&
      end_overlapped(process, producer, record.address, time_ns, stack->id())) {
    return true;
  }
  const trace::AllocationId* found = process.heap.find(record.address);
  if (found == nullptr) {
    // A child frees much that it inherited: what can have no other half any more is not searched.
    if (process.early_frees.size() >= kFewReversed) {
      give_up_reversed(process, time_ns - std::min(time_ns, 3 * wire::kMaxEarlyNs));
    }
    process.early_frees.push_back({&producer, record.address, time_ns, {}, stack->id()});
    return true;
  }
  last.kind = LastFree::Kind::kBlock;
  last.layer = trace::Layer::kHeap;
  last.address = record.address;
  last.row = *found;
  last.api = record.header.detail;
  writer_.end_allocation(last.row, last.layer, trace_time(time_ns), stack->id());
  process.heap.erase(record.address);
  return true;
}

void Pairing::give_up_reversed(ProcessState& process, uint64_t before_ns) {
  auto& frees = process.early_frees;
  const auto old_frees = std::partition(
      frees.begin(), frees.end(), [&](const Reversed& free) { return free.time_ns >= before_ns; });
  for (auto free = old_frees; free != frees.end(); ++free) {
    count_unknown_free(process, counts_.host_frees);
  }
  frees.erase(old_frees, frees.end());

  auto& blocks = process.overlapped;
  const auto old_blocks = std::partition(blocks.begin(), blocks.end(), [&](const Reversed& block) {
    return block.time_ns >= before_ns;
  });
  for (auto block = old_blocks; block != blocks.end(); ++block) {
    losses_.add("allocations_at_live_address", Severity::kDataLoss);
    writer_.end_allocation(block->row, trace::Layer::kHeap, trace_time(block->time_ns),
                           trace::StackId{});
  }
  blocks.erase(old_blocks, blocks.end());
}

}  // namespace tidemark::collector
