#include "pairing.h"

#include <algorithm>
#include <string_view>

namespace tidemark::collector {
namespace {

using trace::Severity;

constexpr uint64_t kMissingStackPatienceNs = 20'000'000;
// A target that scribbles names stacks that never come: it may not slow us down for ever.
constexpr uint32_t kMaxMissingStacks = 64;
// How deep calls of the driver API that free memory nest; a failed one is among the latest.
constexpr size_t kMaxDeviceFrees = 8;

constexpr uint64_t page_end(uint64_t address) {
  const uint64_t up = address + wire::kPageBytes - 1;
  return (up < address ? address : up) & ~uint64_t{wire::kPageBytes - 1};
}

}  // namespace

Pairing::Pairing(trace::Writer& writer, Losses& losses, uint64_t start_ns,
                 std::function<int32_t(int32_t)> rank_of)
    : writer_(writer), losses_(losses), start_ns_(start_ns), rank_of_(std::move(rank_of)) {
  for (size_t i = 0; i < api_texts_.size(); ++i) {
    api_texts_[i] = writer_.intern(wire::api_name(static_cast<wire::Api>(i)));
  }
}

std::unique_ptr<Producer> Pairing::open_ring(RingIdentity identity) const {
  auto producer = std::make_unique<Producer>();
  producer->identity = std::move(identity);
  return producer;
}

void Pairing::begin_pass(uint64_t now_ns) {
  now_ns_ = now_ns;
  for (auto& process : processes_) process->stalled = false;
}

bool Pairing::knows_process(const Producer& producer) const {
  return producer.process != nullptr || by_key_.contains(producer.identity.process_key);
}

ProcessState* Pairing::live_process(int32_t pid) const {
  for (const auto& process : processes_) {
    if (process->pid == pid && !process->ended && !process->foreign) return process.get();
  }
  return nullptr;
}

// --- references

StackRef* Pairing::find_stack(ProcessState& process, wire::StackId id) {
  if (StackRef* found = process.stacks.find(id)) return found;
  const auto node = process.nodes.find(id);
  if (node != process.nodes.end()) return &add_stack(process, id, node->second);
  return nullptr;
}

bool Pairing::resolve_stack(ProcessState& process, wire::StackId hash, StackRef*& out) {
  out = &no_stack_;
  if (hash == 0) return true;
  StackRef* found = find_stack(process, hash);
  if (found == nullptr) return !wait_for_stack(process, hash);
  out = found;
  return true;
}

bool Pairing::wait_for_stack(ProcessState& process, wire::StackId hash) {
  if (process.missing != hash && !process.given_up.contains(hash) &&
      process.given_up.size() < kMaxMissingStacks && !final_) {
    process.missing = hash;
    process.missing_since_ns = now_ns_;
  }
  if (process.missing == hash && !final_ &&
      now_ns_ - process.missing_since_ns < kMissingStackPatienceNs) {
    process.stalled = true;
    return true;
  }
  if (process.missing == hash) {
    process.missing = 0;
    process.given_up.insert(hash);
  }
  losses_.add("stacks_missing", Severity::kDataLoss);
  return false;
}

NameEntry* Pairing::find_name(ProcessState& process, wire::NameId id, int depth) {
  const auto found = process.names.find(id);
  if (found != process.names.end()) return &found.value();
  if (!process.forked || process.parent == nullptr || depth == 0) return nullptr;
  return find_name(*process.parent, id, depth - 1);
}

// --- events

// Block and stack of every event are somewhere in tables much larger than the cache: asked for
// together, they come together.
void Pairing::look_ahead(std::span<const OrderedEvent> batch) {
  for (const OrderedEvent& event : batch) {
    const ProcessState* process = event.lane->producer->process;
    if (process == nullptr) continue;
    if (event.record->type == wire::RecordType::kHeapAlloc) {
      const auto& record = record_as<wire::HeapAlloc>(*event.record);
      process->heap.prefetch(record.address);
      process->stacks.prefetch(record.stack);
    } else if (event.record->type == wire::RecordType::kHeapFree) {
      const auto& record = record_as<wire::HeapFree>(*event.record);
      process->heap.prefetch(record.address);
      process->stacks.prefetch(record.stack);
    }
  }
}

void Pairing::events(std::span<OrderedEvent> batch) {
  look_ahead(batch);
  // A process that waits for a stack refuses all of its events until the next pass.
  for (OrderedEvent& each : batch) each.refused = !event(*each.lane->producer, *each.record);
}

bool Pairing::event(Producer& producer, const wire::Header& record) {
  adopt(producer);
  ProcessState& process = *producer.process;
  if (process.stalled) return false;
  const uint64_t time_ns = std::clamp(record.time_ns, start_ns_, now_ns_);
  process.last_event_ns = time_ns;
  switch (record.type) {
    case wire::RecordType::kHeapAlloc:
      return on_heap_alloc(producer, record_as<wire::HeapAlloc>(record), time_ns);
    case wire::RecordType::kHeapFree:
      return on_heap_free(producer, record_as<wire::HeapFree>(record), time_ns);
    case wire::RecordType::kAlloc:
      return on_map(producer, record_as<wire::Alloc>(record), time_ns);
    case wire::RecordType::kFree:
      return on_free(producer, record_as<wire::Free>(record), time_ns);
    case wire::RecordType::kUnmap:
      return on_unmap(producer, record_as<wire::Unmap>(record), time_ns);
    case wire::RecordType::kUndo:
      on_undo(producer, record.detail);
      return true;
    case wire::RecordType::kDeviceAlloc:
      return on_device_alloc(producer, record_as<wire::DeviceAlloc>(record), time_ns);
    case wire::RecordType::kLaunch:
      return on_launch(producer, record_as<wire::Launch>(record), time_ns);
    case wire::RecordType::kTouch:
      on_touch(producer, record_as<wire::Touch>(record));
      return true;
    case wire::RecordType::kGraphNode:
      on_graph_node(producer, record_as<wire::GraphNode>(record));
      return true;
    case wire::RecordType::kDeviceMap:
    case wire::RecordType::kDeviceUnmap:
      on_device_map(producer, record_as<wire::DeviceMap>(record));
      return true;
    case wire::RecordType::kOutOfMemory:
      return on_out_of_memory(producer, record_as<wire::OutOfMemory>(record), time_ns);
    case wire::RecordType::kImport:
      return on_import(producer, record_as<wire::Import>(record), time_ns);
    case wire::RecordType::kImportEnd:
      on_import_end(producer, record_as<wire::ImportEnd>(record), time_ns);
      return true;
    case wire::RecordType::kMarker:
      on_marker(producer, record_as<wire::Marker>(record), time_ns);
      return true;
    case wire::RecordType::kMarkerEnd:
      on_marker_end(producer, record_as<wire::MarkerEnd>(record), time_ns);
      return true;
    default:
      return true;
  }
}

bool Pairing::on_map(Producer& producer, const wire::Alloc& record, uint64_t time_ns) {
  ProcessState& process = *producer.process;
  StackRef* stack = nullptr;
  if (!resolve_stack(process, record.stack, stack)) return false;
  producer.last_free.kind = LastFree::Kind::kNone;
  trace::Allocation row;
  row.process = process.id;
  row.thread = producer.thread;
  row.layer = trace::Layer::kOs;
  row.space = static_cast<trace::Space>(record.space);
  row.address = record.address;
  row.size = record.size;
  row.alloc_ns = trace_time(time_ns);
  row.alloc_stack = stack->id();
  row.api = api_text(record.header.detail);
  ++counts_.mappings;
  map_range(producer, row);
  return true;
}

trace::AllocationId Pairing::begin_block(BlockMap& blocks, uint64_t key,
                                         const trace::Allocation& row) {
  const auto [block, fresh] = blocks.insert(key, trace::AllocationId{});
  if (!fresh) {
    losses_.add("allocations_at_live_address", Severity::kDataLoss);
    writer_.end_allocation(*block, row.layer, row.alloc_ns, trace::StackId{});
  }
  return *block = writer_.add_allocation(row);
}

// `frees`: where it was counted as one of a block that the trace holds.
void Pairing::count_unknown_free(const ProcessState& process, uint64_t& frees) {
  --frees;
  const char* name = process.forked     ? "frees_of_inherited_memory"
                     : process.attached ? "frees_of_blocks_from_before_attach"
                                        : "frees_of_unknown_memory";
  losses_.add(name, Severity::kInfo);
}

bool Pairing::on_free(Producer& producer, const wire::Free& record, uint64_t time_ns) {
  ProcessState& process = *producer.process;
  StackRef* stack = nullptr;
  if (!resolve_stack(process, record.stack, stack)) return false;
  LastFree& last = producer.last_free;
  last.kind = LastFree::Kind::kNone;
  const bool driver = record.layer == wire::Layer::kDriver;
  BlockMap* blocks = driver ? &process.driver : &process.pool;
  const uint64_t key = driver ? driver_key(record.address, record.header.detail) : record.address;
  uint64_t& frees = driver ? counts_.driver_frees : counts_.pool_frees;
  ++frees;
  const trace::AllocationId* found = blocks->find(key);
  if (found == nullptr) {
    count_unknown_free(process, frees);
    return true;
  }
  last.kind = LastFree::Kind::kBlock;
  last.layer = static_cast<trace::Layer>(record.layer);
  last.address = key;
  last.row = *found;
  last.api = record.header.detail;
  last.bytes = (driver ? process.driver_ranges : process.pool_ranges).remove(key);
  if (producer.device_frees.size() == kMaxDeviceFrees) {
    producer.device_frees.erase(producer.device_frees.begin());
  }
  producer.device_frees.push_back(
      {last.kind, last.layer, last.api, key, last.row, last.bytes, {}, {}});
  writer_.end_allocation(last.row, last.layer, trace_time(time_ns), stack->id());
  blocks->erase(key);
  return true;
}

void Pairing::cut_range(ProcessState& process, const Range& range, trace::StringId api,
                        LastFree& undo) {
  undo.removed.clear();
  undo.pieces.clear();
  process.os.cut(range.start, range.end, undo.removed, undo.pieces);
  for (const Mapping& mapping : undo.removed) {
    writer_.end_allocation(mapping.row, trace::Layer::kOs, range.time_ns, range.stack);
  }
  for (Mapping& piece : undo.pieces) {
    trace::Allocation row;
    row.process = process.id;
    row.thread = piece.thread;
    row.layer = trace::Layer::kOs;
    row.space = trace::Space::kHost;
    row.address = piece.start;
    row.size = piece.end - piece.start;
    row.alloc_ns = range.time_ns;
    row.alloc_stack = piece.stack;
    row.api = api;
    piece.row = writer_.add_allocation(row);
    piece.since_ns = range.time_ns;
    process.os.insert(piece);
  }
}

void Pairing::map_range(Producer& producer, const trace::Allocation& row) {
  ProcessState& process = *producer.process;
  const uint64_t start = row.address & ~uint64_t{wire::kPageBytes - 1};
  const uint64_t end = page_end(row.address + row.size);
  if (start >= end) return;
  // MAP_FIXED over what is mapped replaces it.
  LastFree replaced;
  cut_range(process, {start, end, row.alloc_ns, row.alloc_stack}, row.api, replaced);
  process.os.insert({start, end, writer_.add_allocation(row), row.thread, row.alloc_stack, 0});
}

bool Pairing::on_unmap(Producer& producer, const wire::Unmap& record, uint64_t time_ns) {
  ProcessState& process = *producer.process;
  StackRef* stack = nullptr;
  if (!resolve_stack(process, record.stack, stack)) return false;
  ++counts_.unmappings;
  LastFree& last = producer.last_free;
  const uint64_t end = page_end(record.address + record.size);
  cut_range(process, {record.address, end, trace_time(time_ns), stack->id()},
            api_text(static_cast<uint16_t>(wire::Api::kMunmap)), last);
  last.kind = last.removed.empty() ? LastFree::Kind::kNone : LastFree::Kind::kRange;
  if (last.removed.empty()) count_unknown_free(process, counts_.unmappings);
  return true;
}

void Pairing::on_undo(Producer& producer, uint16_t api) {
  ProcessState& process = *producer.process;
  if (api != 0) {
    auto& frees = producer.device_frees;
    const auto found = std::find_if(frees.rbegin(), frees.rend(),
                                    [&](const LastFree& last) { return last.api == api; });
    if (found == frees.rend()) return;  // of a block that nobody knew
    undo_block(process, *found);
    frees.erase(std::next(found).base());
    return;
  }
  LastFree& last = producer.last_free;
  if (last.kind == LastFree::Kind::kBlock) undo_block(process, last);
  if (last.kind == LastFree::Kind::kRange) undo_range(process, last);
  last.kind = LastFree::Kind::kNone;
}

void Pairing::undo_block(ProcessState& process, const LastFree& last) {
  BlockMap& blocks = last.layer == trace::Layer::kDriver ? process.driver
                     : last.layer == trace::Layer::kPool ? process.pool
                                                         : process.heap;
  if (!blocks.insert(last.address, last.row).second) return;
  writer_.revive_allocation(last.row, last.layer);
  if (last.bytes == 0) return;
  LiveRanges& ranges =
      last.layer == trace::Layer::kDriver ? process.driver_ranges : process.pool_ranges;
  ranges.add(last.address, last.bytes, last.row);
}

void Pairing::undo_range(ProcessState& process, LastFree& last) {
  std::vector<Mapping> gone;
  std::vector<Mapping> none;
  for (const Mapping& piece : last.pieces) {
    process.os.cut(piece.start, piece.end, gone, none);
    // From its beginning to its beginning: it never was.
    writer_.end_allocation(piece.row, trace::Layer::kOs, piece.since_ns, trace::StackId{});
  }
  for (const Mapping& mapping : last.removed) {
    process.os.insert(mapping);
    writer_.revive_allocation(mapping.row, trace::Layer::kOs);
  }
}

trace::StringId Pairing::api_text(uint16_t api) const {
  return api_texts_[api < api_texts_.size() ? api : 0];
}

// --- ends

void Pairing::end_process(ProcessState& process, uint64_t time_ns, int32_t exit) {
  if (process.ended) return;
  process.ended = true;
  writer_.end_process(process.id, trace_time(std::max(time_ns, start_ns_)), exit);
}

void Pairing::finish(bool killed) {
  write_modules();
  for (auto& process : processes_) {
    give_up_reversed(*process, UINT64_MAX);
    losses_.add("launches_without_activity", killed ? Severity::kDataLoss : Severity::kInfo,
                process->launches.unmatched());
    losses_.add("accesses_without_kernel", killed ? Severity::kDataLoss : Severity::kInfo,
                process->launches.untaken_accesses());
  }
}

}  // namespace tidemark::collector
