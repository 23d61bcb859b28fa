// The device's part of Pairing: driver and pool allocations, and what the device did.
#include <algorithm>
#include <cstring>
#include <string_view>

#include "demangle.h"
#include "pairing.h"

namespace tidemark::collector {
namespace {

using trace::Severity;

bool starts_with_any(std::string_view name, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

// Libraries that every request of the layer passes through: they do not tell who asked.
bool is_passed_through(std::string_view module, wire::Layer layer) {
  if (module.starts_with("libtidemark_")) return true;
  if (layer == wire::Layer::kPool) return module.starts_with("libc10.so");
  return starts_with_any(module, {"libcuda.so", "libcuda-", "libcudart", "libcupti", "libnvidia-"});
}

constexpr int kMaxForkDepth = 64;

}  // namespace

trace::StringId Pairing::source_of(ProcessState& process, const StackRef* stack, wire::NameId told,
                                   wire::Layer layer, uint64_t time_ns) {
  if (stack->id() == trace::StackId{}) return plain_name(process, told);
  StackEntry& entry = process.stack_entries[stack->entry];
  const bool pool = layer == wire::Layer::kPool;
  bool& known = pool ? entry.pool_source_known : entry.driver_source_known;
  trace::StringId& source = pool ? entry.pool_source : entry.driver_source;
  if (!known) {
    known = true;
    const auto& nodes = process.stack_tree.nodes();
    for (uint32_t i = entry.innermost; i != StackTree::kNone; i = nodes[i].caller) {
      // A return address may lie one past the end of a function that never returns.
      const uint64_t address = process.stack_tree.word(nodes[i]) - 1;
      const LoadedModule* module = process.modules.find(address, time_ns);
      if (module == nullptr) continue;
      const std::string_view name = base_name(module->path);
      if (is_passed_through(name, layer)) continue;
      source = writer_.intern(name);
      break;
    }
  }
  return source != trace::StringId{} ? source : plain_name(process, told);
}

trace::StringId Pairing::plain_name(ProcessState& process, wire::NameId id) {
  if (id == 0) return {};
  NameEntry* name = find_name(process, id, kMaxForkDepth);
  if (name == nullptr) return {};
  if (name->plain == trace::StringId{}) name->plain = writer_.intern(name->text);
  return name->plain;
}

bool Pairing::on_device_alloc(Producer& producer, const wire::DeviceAlloc& record,
                              uint64_t time_ns) {
  ProcessState& process = *producer.process;
  StackRef* stack = nullptr;
  if (!resolve_stack(process, record.stack, stack)) return false;
  producer.last_free.kind = LastFree::Kind::kNone;
  trace::Allocation row;
  row.process = process.id;
  row.thread = producer.thread;
  row.layer = static_cast<trace::Layer>(record.layer);
  row.space = static_cast<trace::Space>(record.space);
  row.device = record.device;
  row.address = record.address;
  row.size = record.size;
  row.alloc_ns = trace_time(time_ns);
  row.alloc_stack = stack->id();
  row.api = api_text(record.header.detail);
  row.source = source_of(process, stack, record.source, record.layer, time_ns);
  if (record.layer == wire::Layer::kDriver) {
    ++counts_.driver_allocations;
    process.has_driver_memory |= row.space == trace::Space::kDevice;
    const trace::AllocationId id =
        begin_block(process.driver, driver_key(record.address, record.header.detail), row);
    if (wire::has_address(static_cast<wire::Api>(record.header.detail))) {
      process.driver_ranges.add(record.address, record.size, id);
    }
    return true;
  }
  ++counts_.pool_allocations;
  process.pool_ranges.add(record.address, record.size,
                          begin_block(process.pool, record.address, row));
  const auto [reserved, first] = process.pool_reserved.try_emplace(record.device, 0);
  if (first || reserved->second != record.pool_reserved) {
    reserved->second = record.pool_reserved;
    writer_.add_pool_reserved({process.id, record.device, row.alloc_ns, record.pool_reserved});
  }
  return true;
}

bool Pairing::on_launch(Producer& producer, const wire::Launch& record, uint64_t time_ns) {
  ProcessState& process = *producer.process;
  StackRef* stack = nullptr;
  if (!resolve_stack(process, record.stack, stack)) return false;
  PendingLaunch launch;
  launch.src_address = record.src_address;
  launch.dst_address = record.dst_address;
  launch.stack = stack->id();
  launch.src_allocation = innermost_at(process, record.src_address);
  launch.dst_allocation = innermost_at(process, record.dst_address);
  if (window_ != nullptr) window_->launched(process, producer.identity.tid, time_ns);
  launch.outside = window_ != nullptr && !window_->holds(process, time_ns);
  if (process.launches.add(record.correlation, launch)) {
    losses_.add("launches_forgotten", Severity::kDataLoss);
  }
  return true;
}

// A block of a pool, and where none holds the address the driver's allocation.
trace::AllocationId Pairing::innermost_at(const ProcessState& process, uint64_t address) {
  if (address == 0) return {};
  const trace::AllocationId row = process.pool_ranges.at(address);
  return row != trace::AllocationId{} ? row : process.driver_ranges.at(address);
}

// A word that nothing living holds was no pointer, or one into memory that is gone.
void Pairing::on_touch(Producer& producer, const wire::Touch& record) {
  ProcessState& process = *producer.process;
  process.tells_accesses = true;
  PendingLaunch* launch = process.launches.find(record.correlation);
  if (launch == nullptr) {
    losses_.add("accesses_without_launch", Severity::kDataLoss);
    return;
  }
  for (uint32_t i = 0; i < record.word_count; ++i) {
    uint64_t word = 0;
    std::memcpy(&word, tail_of(record) + i * sizeof word, sizeof word);
    const trace::AllocationId row = innermost_at(process, word);
    if (row == trace::AllocationId{}) continue;
    auto& touched = launch->touched;
    if (std::find(touched.begin(), touched.end(), row) == touched.end()) touched.push_back(row);
  }
}

// Blocks are those that lived when the node was made: a graph keeps its addresses, and a pool that
// has taken a block back meanwhile (PyTorch's, when the capture ends) has taken no memory from it.
void Pairing::on_graph_node(Producer& producer, const wire::GraphNode& record) {
  ProcessState& process = *producer.process;
  process.tells_accesses = true;
  if (record.source != 0) return process.graph_nodes.copy(record.node, record.source);
  // It has done what it was for: no kernel will come with its id.
  PendingLaunch* launch = process.launches.match(record.correlation);
  if (launch == nullptr) return losses_.add("accesses_without_launch", Severity::kDataLoss);
  process.graph_nodes.add(record.node, std::move(launch->touched));
  launch->touched.clear();
}

// Memory of cuMemCreate has a handle for an address: it is met at those where it is mapped.
void Pairing::on_device_map(Producer& producer, const wire::DeviceMap& record) {
  ProcessState& process = *producer.process;
  if (record.header.type == wire::RecordType::kDeviceUnmap) {
    return process.driver_ranges.remove_within(record.address, record.size);
  }
  constexpr auto kApi = static_cast<uint16_t>(wire::Api::kCuMemCreate);
  const trace::AllocationId* row = process.driver.find(driver_key(record.allocation, kApi));
  if (row != nullptr) process.driver_ranges.add(record.address, record.size, *row);
}

bool Pairing::on_out_of_memory(Producer& producer, const wire::OutOfMemory& record,
                               uint64_t time_ns) {
  ProcessState& process = *producer.process;
  StackRef* stack = nullptr;
  if (!resolve_stack(process, record.stack, stack)) return false;
  ++counts_.out_of_memory;
  trace::OutOfMemory row;
  row.process = process.id;
  row.thread = producer.thread;
  row.device = record.device;
  row.layer = static_cast<trace::Layer>(record.layer);
  row.time_ns = trace_time(time_ns);
  row.requested_bytes = record.requested;
  row.allocated_bytes = record.allocated;
  row.reserved_bytes = record.reserved;
  row.stack = stack->id();
  writer_.add_out_of_memory(row);
  return true;
}

bool Pairing::on_import(Producer& producer, const wire::Import& record, uint64_t time_ns) {
  ProcessState& process = *producer.process;
  StackRef* stack = nullptr;
  if (!resolve_stack(process, record.stack, stack)) return false;
  trace::ImportedMemory row;
  row.process = process.id;
  row.thread = producer.thread;
  row.device = record.device;
  row.address = record.address;
  row.size = record.size;
  row.open_ns = trace_time(time_ns);
  row.stack = stack->id();
  row.api = api_text(record.header.detail);
  ++counts_.imports;
  // Opened twice, it is one mapping with a count, and two openings to be closed.
  process.imports[record.address].push_back(writer_.add_import(row));
  return true;
}

void Pairing::on_import_end(Producer& producer, const wire::ImportEnd& record, uint64_t time_ns) {
  auto& imports = producer.process->imports;
  const auto found = imports.find(record.address);
  if (found == imports.end()) return;  // opened before it was recorded
  // The oldest: a close is told after it succeeded, when the address may be another's already.
  writer_.end_import(found->second.front(), trace_time(time_ns));
  found->second.pop_front();
  if (found->second.empty()) imports.erase(found);
}

// --- what the device did

void Pairing::activity(Producer& producer, const wire::Header& record) {
  adopt(producer);
  if (add_activity(*producer.process, record, false)) return;
  Late late{producer.process, {}};
  static_assert(sizeof(wire::Kernel) <= sizeof late.record &&
                sizeof(wire::Transfer) <= sizeof late.record &&
                sizeof(wire::Memset) <= sizeof late.record);
  std::memcpy(late.record.data(), &record, std::min<size_t>(record.bytes, late.record.size()));
  late_now_.push_back(late);
}

void Pairing::end_pass() {
  for (const auto& process : processes_) {
    if (process->early_frees.empty() && process->overlapped.empty()) continue;
    // The other half may be held back for one margin, and early by another.
    give_up_reversed(*process, now_ns_ - std::min(now_ns_, 3 * wire::kMaxEarlyNs));
  }
  // A launch is stamped before its kernel runs, but its event may be held back for one pass.
  for (const Late& late : late_) {
    add_activity(*late.process, *reinterpret_cast<const wire::Header*>(late.record.data()), true);
  }
  late_.clear();
  late_.swap(late_now_);
  if (!final_) return;
  for (const Late& late : late_) {
    add_activity(*late.process, *reinterpret_cast<const wire::Header*>(late.record.data()), true);
  }
  late_.clear();
}

bool Pairing::add_activity(ProcessState& process, const wire::Header& record, bool last_chance) {
  switch (record.type) {
    case wire::RecordType::kTransfer:
      return add_transfer(process, record_as<wire::Transfer>(record), last_chance);
    case wire::RecordType::kMemset:
      return add_memset(process, record_as<wire::Memset>(record), last_chance);
    case wire::RecordType::kKernel:
      return add_kernel(process, record_as<wire::Kernel>(record), last_chance);
    case wire::RecordType::kDriverPool:
      add_driver_pool(process, record_as<wire::DriverPool>(record));
      return true;
    case wire::RecordType::kMigration:
      add_migration(process, record_as<wire::Migration>(record));
      return true;
    default:
      return true;
  }
}

void Pairing::add_driver_pool(ProcessState& process, const wire::DriverPool& record) {
  const ProcessState::PoolSizes sizes{record.held, record.used};
  const auto [last, first] = process.driver_pools.try_emplace(record.pool, sizes);
  if (!first && last->second == sizes) return;
  last->second = sizes;
  writer_.add_driver_pool({process.id, record.device, record.pool,
                           trace_time(record.header.time_ns), record.held, record.used});
}

void Pairing::add_migration(const ProcessState& process, const wire::Migration& record) {
  if (window_ != nullptr && !window_->holds(process, record.header.time_ns)) {
    return losses_.add("migrations_outside_window", Severity::kInfo);
  }
  ++counts_.migrations;
  trace::Migration row;
  row.process = process.id;
  row.kind = static_cast<trace::MigrationKind>(record.kind);
  row.src_device = record.src_device;
  row.dst_device = record.dst_device;
  row.address = record.address;
  row.bytes = record.bytes;
  row.faults = record.faults;
  row.start_ns = trace_time(record.header.time_ns);
  row.end_ns = trace_time(record.end_ns);
  writer_.add_migration(row);
}

PendingLaunch* Pairing::launch_of(ProcessState& process, uint32_t correlation, bool last_chance) {
  PendingLaunch* launch = process.launches.match(correlation);
  if (launch != nullptr) return launch;
  if (!last_chance) return nullptr;
  // Outside of the window targets tell of no launches.
  if (!no_launch_.outside) losses_.add("activity_without_launch", Severity::kInfo);
  return &no_launch_;
}

bool Pairing::left_out(PendingLaunch& launch, const char* counter) {
  if (!launch.outside) return false;
  losses_.add(counter, Severity::kInfo);
  std::vector<trace::AllocationId>().swap(launch.touched);
  return true;
}

bool Pairing::add_transfer(ProcessState& process, const wire::Transfer& record, bool last_chance) {
  PendingLaunch* launch = launch_of(process, record.correlation, last_chance);
  if (launch == nullptr) return false;
  if (left_out(*launch, "copies_outside_window")) return true;
  ++counts_.transfers;
  trace::Transfer row;
  row.process = process.id;
  row.device = record.device;
  row.stream = record.stream;
  row.kind = static_cast<trace::TransferKind>(record.kind);
  row.bytes = record.bytes;
  row.src_space = static_cast<trace::Space>(record.src_space);
  row.dst_space = static_cast<trace::Space>(record.dst_space);
  row.src_address = launch->src_address;
  row.dst_address = launch->dst_address;
  row.start_ns = trace_time(record.header.time_ns);
  row.end_ns = trace_time(record.end_ns);
  row.correlation = record.correlation;
  row.stack = launch->stack;
  row.src_allocation = launch->src_allocation;
  row.dst_allocation = launch->dst_allocation;
  writer_.add_transfer(row);
  return true;
}

bool Pairing::add_memset(ProcessState& process, const wire::Memset& record, bool last_chance) {
  PendingLaunch* launch = launch_of(process, record.correlation, last_chance);
  if (launch == nullptr) return false;
  if (left_out(*launch, "sets_outside_window")) return true;
  ++counts_.memsets;
  trace::Memset row;
  row.process = process.id;
  row.device = record.device;
  row.stream = record.stream;
  row.address = launch->dst_address;
  row.bytes = record.bytes;
  row.start_ns = trace_time(record.header.time_ns);
  row.end_ns = trace_time(record.end_ns);
  row.correlation = record.correlation;
  row.stack = launch->stack;
  row.allocation = launch->dst_allocation;
  writer_.add_memset(row);
  return true;
}

bool Pairing::add_kernel(ProcessState& process, const wire::Kernel& record, bool last_chance) {
  NameEntry* name = record.name == 0 ? nullptr : find_name(process, record.name, kMaxForkDepth);
  if (record.name != 0 && name == nullptr && !last_chance) return false;
  PendingLaunch* launch = launch_of(process, record.correlation, last_chance);
  if (launch == nullptr) return false;
  if (left_out(*launch, "kernels_outside_window")) return true;
  if (name != nullptr && name->demangled == trace::StringId{}) {
    name->demangled = writer_.intern(demangle(name->text));
  }
  if (record.name != 0 && name == nullptr) losses_.add("names_missing", Severity::kDataLoss);
  ++counts_.kernels;
  trace::Kernel row;
  row.process = process.id;
  row.device = record.device;
  row.stream = record.stream;
  row.name = name == nullptr ? trace::StringId{} : name->demangled;
  row.start_ns = trace_time(record.header.time_ns);
  row.end_ns = trace_time(record.end_ns);
  row.correlation = record.correlation;
  row.graph = record.graph;
  row.stack = launch->stack;
  add_accesses(process, writer_.add_kernel(row), record, *launch);
  return true;
}

void Pairing::add_accesses(ProcessState& process, int64_t kernel, const wire::Kernel& record,
                           PendingLaunch& launch) {
  if (record.graph_node != 0) {
    if (const GraphNodes::Blocks* blocks = process.graph_nodes.find(record.graph_node)) {
      counts_.accesses += blocks->size();
      writer_.add_accesses(kernel, *blocks);
      return;
    }
  }
  if (record.graph != 0) {
    if (process.tells_accesses) losses_.add("graph_kernels_without_access", Severity::kInfo);
    return;
  }
  if (launch.touched.empty()) return;
  counts_.accesses += launch.touched.size();
  writer_.add_accesses(kernel, launch.touched);
  // One kernel a launch; its memory is wanted back, since launches are kept for long.
  std::vector<trace::AllocationId>().swap(launch.touched);
}

}  // namespace tidemark::collector
