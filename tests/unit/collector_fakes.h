// A Writer that remembers what it was told, and a producer that writes into an arena exactly as
// wire/layout.h and wire/records.h say.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "arena.h"
#include "tidemark/trace/writer.h"
#include "tidemark/wire/records.h"
#include "tidemark/wire/stack_id.h"

namespace tidemark::collector::fakes {

class RecordingWriter final : public trace::Writer {
 public:
  trace::StringId intern(std::string_view text) override {
    if (text.empty()) return {};
    const auto [it, fresh] = ids.try_emplace(std::string(text), ids.size() + 1);
    if (fresh) texts.emplace_back(text);
    return static_cast<trace::StringId>(it->second);
  }
  void meta(std::string_view key, std::string_view value) override {
    metas[std::string(key)] = value;
  }
  void loss(std::string_view name, trace::Severity, uint64_t added) override {
    losses[std::string(name)] += added;
  }
  trace::ProcessId add_process(const trace::Process& process) override {
    processes.push_back(process);
    return static_cast<trace::ProcessId>(processes.size());
  }
  void end_process(trace::ProcessId id, int64_t end_ns, int32_t exit) override {
    trace::Process& process = processes.at(static_cast<size_t>(id) - 1);
    process.end_ns = end_ns;
    process.exit = exit;
  }
  trace::ThreadId add_thread(trace::ProcessId process, int32_t tid,
                             std::string_view name) override {
    threads.push_back({{}, process, tid, std::string(name)});
    return static_cast<trace::ThreadId>(threads.size());
  }
  void rename_thread(trace::ThreadId id, std::string_view name) override {
    threads.at(static_cast<size_t>(id) - 1).name = name;
  }
  trace::AddressId add_address(trace::ProcessId, uint64_t word, int64_t) override {
    addresses.push_back({word, {}, false});
    return static_cast<trace::AddressId>(addresses.size());
  }
  trace::StackNodeId add_stack_node(trace::StackNodeId caller, trace::AddressId address) override {
    nodes.emplace_back(static_cast<size_t>(caller), static_cast<size_t>(address));
    return static_cast<trace::StackNodeId>(nodes.size());
  }
  trace::StackId add_stack(trace::ProcessId, trace::StackNodeId innermost) override {
    innermost_nodes.push_back(static_cast<size_t>(innermost));
    auto& words = stacks.emplace_back();
    each_address(stacks.size(), [&](const Address& address) { words.push_back(address.word); });
    return static_cast<trace::StackId>(stacks.size());
  }
  trace::FrameId add_frame(const trace::Frame& frame) override {
    frames.push_back(frame);
    return static_cast<trace::FrameId>(frames.size());
  }
  void name_address(trace::AddressId id, std::span<const trace::FrameId> named,
                    bool hook) override {
    Address& address = addresses.at(static_cast<size_t>(id) - 1);
    address.frames.assign(named.begin(), named.end());
    address.hook = hook;
  }
  [[nodiscard]] std::vector<trace::Frame> frames_of(size_t stack) const {
    std::vector<trace::Frame> found;
    each_address(stack, [&](const Address& address) {
      if (address.hook && found.empty()) return;
      for (const trace::FrameId id : address.frames) {
        found.push_back(frames.at(static_cast<size_t>(id) - 1));
      }
    });
    return found;
  }
  struct Address {
    uint64_t word;
    std::vector<trace::FrameId> frames;
    bool hook;
  };
  std::vector<trace::Frame> frames;
  std::vector<Address> addresses;
  std::vector<std::pair<size_t, size_t>> nodes;  // caller, address
  std::vector<size_t> innermost_nodes;           // by stack - 1
  void each_address(size_t stack, const std::function<void(const Address&)>& visit) const {
    for (size_t node = innermost_nodes.at(stack - 1); node != 0; node = nodes.at(node - 1).first) {
      visit(addresses.at(nodes[node - 1].second - 1));
    }
  }
  void add_module(trace::ProcessId, std::string_view path, std::string_view, uint64_t, uint64_t,
                  uint64_t, int64_t, int64_t) override {
    modules.emplace_back(path);
  }
  void drop_modules(trace::ProcessId, uint64_t) override { ++dropped_modules; }
  trace::AllocationId add_allocation(const trace::Allocation& begin) override {
    rows.push_back(begin);
    rows.back().id = static_cast<trace::AllocationId>(rows.size());
    return rows.back().id;
  }
  void end_allocation(trace::AllocationId id, trace::Layer layer, int64_t free_ns,
                      trace::StackId free_stack) override {
    trace::Allocation& row = rows.at(static_cast<size_t>(id) - 1);
    if (row.layer != layer || row.free_ns != trace::kNever) ++misuse;
    row.free_ns = free_ns;
    row.free_stack = free_stack;
  }
  void revive_allocation(trace::AllocationId id, trace::Layer layer) override {
    trace::Allocation& row = rows.at(static_cast<size_t>(id) - 1);
    if (row.layer != layer || row.free_ns == trace::kNever) ++misuse;
    row.free_ns = trace::kNever;
    row.free_stack = {};
  }
  void add_transfer(const trace::Transfer& row) override { transfers.push_back(row); }
  void add_memset(const trace::Memset& row) override { memsets.push_back(row); }
  int64_t add_kernel(const trace::Kernel& row) override {
    kernels.push_back(row);
    return static_cast<int64_t>(kernels.size());
  }
  void add_accesses(int64_t kernel, std::span<const trace::AllocationId> allocations) override {
    for (const trace::AllocationId id : allocations) accesses.push_back({kernel, id});
  }
  trace::MarkerId add_marker(const trace::Marker& row) override {
    markers.push_back(row);
    markers.back().id = static_cast<trace::MarkerId>(markers.size());
    return markers.back().id;
  }
  void end_marker(trace::MarkerId id, int64_t end_ns) override {
    trace::Marker& row = markers.at(static_cast<size_t>(id) - 1);
    if (row.end_ns != trace::kNever) ++misuse;
    row.end_ns = end_ns;
  }
  void add_pool_reserved(const trace::PoolReserved& row) override { reserved.push_back(row); }
  void add_out_of_memory(const trace::OutOfMemory& row) override { out_of_memory.push_back(row); }
  trace::WindowId add_window(const trace::RecordingWindow& row) override {
    windows.push_back(row);
    windows.back().id = static_cast<trace::WindowId>(windows.size());
    return windows.back().id;
  }
  void end_window(trace::WindowId id, int64_t end_ns) override {
    windows.at(static_cast<size_t>(id) - 1).end_ns = end_ns;
  }
  void add_device_memory(const trace::DeviceMemory& row) override { device_memory.push_back(row); }
  void add_device_power(const trace::DevicePower& row) override { power.push_back(row); }
  void add_driver_pool(const trace::DriverPool& row) override { driver_pools.push_back(row); }
  void add_migration(const trace::Migration& row) override { migrations.push_back(row); }
  trace::ImportId add_import(const trace::ImportedMemory& row) override {
    imports.push_back(row);
    imports.back().id = static_cast<trace::ImportId>(imports.size());
    return imports.back().id;
  }
  void end_import(trace::ImportId id, int64_t close_ns) override {
    trace::ImportedMemory& row = imports.at(static_cast<size_t>(id) - 1);
    if (row.close_ns != trace::kNever) ++misuse;
    row.close_ns = close_ns;
  }
  void add_process_memory(const trace::ProcessMemory& row) override { memory.push_back(row); }
  void add_mappings(std::span<const trace::Mapping> snapshot) override {
    mappings.insert(mappings.end(), snapshot.begin(), snapshot.end());
  }
  void drop_mappings(trace::ProcessId process, int64_t time_ns) override {
    std::erase_if(mappings, [&](const trace::Mapping& row) {
      return row.process == process && row.time_ns == time_ns;
    });
  }
  void replace_host_totals(std::span<const trace::HostTotal> sums,
                           std::span<const trace::HostCurvePoint> points) override {
    totals.assign(sums.begin(), sums.end());
    curve.assign(points.begin(), points.end());
  }
  void limit(const trace::Limit&) override {}
  trace::Room room() override { return trace::Room::kEnough; }
  Result<void> commit() override { return {}; }
  Result<trace::Condensed> condense(int64_t) override { return trace::Condensed{}; }
  Result<void> flush() override { return {}; }
  Result<void> finish() override { return {}; }

  std::string text(trace::StringId id) const {
    return id == trace::StringId{} ? "" : texts.at(static_cast<size_t>(id) - 1);
  }

  std::map<std::string, size_t> ids;
  std::vector<std::string> texts;
  std::map<std::string, std::string> metas;
  std::map<std::string, uint64_t> losses;
  std::vector<trace::Process> processes;
  std::vector<trace::Thread> threads;
  std::vector<std::vector<uint64_t>> stacks;
  std::vector<std::string> modules;
  int dropped_modules = 0;
  std::vector<trace::Allocation> rows;
  std::vector<trace::Transfer> transfers;
  std::vector<trace::Memset> memsets;
  std::vector<trace::Kernel> kernels;
  std::vector<trace::Access> accesses;
  std::vector<trace::Marker> markers;
  std::vector<trace::PoolReserved> reserved;
  std::vector<trace::OutOfMemory> out_of_memory;
  std::vector<trace::HostTotal> totals;
  std::vector<trace::HostCurvePoint> curve;
  std::vector<trace::RecordingWindow> windows;
  std::vector<trace::DeviceMemory> device_memory;
  std::vector<trace::DevicePower> power;
  std::vector<trace::DriverPool> driver_pools;
  std::vector<trace::Migration> migrations;
  std::vector<trace::ImportedMemory> imports;
  std::vector<trace::ProcessMemory> memory;
  std::vector<trace::Mapping> mappings;
  int misuse = 0;
};

template <class Record>
Record make(wire::RecordType type, uint64_t time_ns, wire::Api api = wire::Api::kUnknown) {
  Record record{};
  record.header = {type, static_cast<uint16_t>(api), sizeof(Record), time_ns};
  return record;
}

inline wire::HeapAlloc alloc(uint64_t time_ns, uint64_t address, uint64_t size,
                             wire::StackId stack = 0) {
  auto record = make<wire::HeapAlloc>(wire::RecordType::kHeapAlloc, time_ns, wire::Api::kMalloc);
  record.address = address;
  record.size = size;
  record.stack = stack;
  return record;
}
inline wire::HeapFree free_of(uint64_t time_ns, uint64_t address, wire::StackId stack = 0) {
  auto record = make<wire::HeapFree>(wire::RecordType::kHeapFree, time_ns, wire::Api::kFree);
  record.address = address;
  record.stack = stack;
  return record;
}
inline wire::Alloc map(uint64_t time_ns, uint64_t address, uint64_t size) {
  auto record = make<wire::Alloc>(wire::RecordType::kAlloc, time_ns, wire::Api::kMmap);
  record.address = address;
  record.size = size;
  record.layer = wire::Layer::kOs;
  record.space = wire::Space::kHost;
  return record;
}
inline wire::Free driver_free(uint64_t time_ns, uint64_t address) {
  auto record = make<wire::Free>(wire::RecordType::kFree, time_ns, wire::Api::kCudaFree);
  record.address = address;
  record.layer = wire::Layer::kDriver;
  return record;
}
inline wire::Unmap unmap(uint64_t time_ns, uint64_t address, uint64_t size) {
  auto record = make<wire::Unmap>(wire::RecordType::kUnmap, time_ns, wire::Api::kMunmap);
  record.address = address;
  record.size = size;
  return record;
}
inline wire::Header undo(uint64_t time_ns) {
  return {wire::RecordType::kUndo, 0, sizeof(wire::Header), time_ns};
}

// A fixed part with text or an array behind it.
template <class Record>
std::vector<std::byte> with_tail(Record record, const void* tail, size_t bytes) {
  std::vector<std::byte> whole(sizeof record + wire::padded(bytes));
  record.header.bytes = static_cast<uint32_t>(whole.size());
  std::memcpy(whole.data(), &record, sizeof record);
  if (bytes != 0) std::memcpy(whole.data() + sizeof record, tail, bytes);
  return whole;
}
// A whole stack, innermost first, named as the test likes.
inline std::vector<std::byte> stack_record(wire::StackId id, std::vector<uint64_t> addresses) {
  std::reverse(addresses.begin(), addresses.end());
  auto record = make<wire::Stack>(wire::RecordType::kStack, 0);
  record.id = id;
  record.caller = wire::stack_root(0, true);
  record.flags = wire::kStackFromRoot;
  record.frame_count = static_cast<uint32_t>(addresses.size());
  return with_tail(record, addresses.data(), addresses.size() * 8);
}
inline std::vector<std::byte> name_record(wire::NameId id, const std::string& text) {
  auto record = make<wire::Name>(wire::RecordType::kName, 0);
  record.id = id;
  record.text_bytes = static_cast<uint32_t>(text.size());
  return with_tail(record, text.data(), text.size());
}
inline std::vector<std::byte> process_start(uint64_t time_ns, uint64_t key, int32_t pid,
                                            uint64_t parent_key = 0, bool forked = false,
                                            const std::string& command = "a b") {
  auto record = make<wire::ProcessStart>(wire::RecordType::kProcessStart, time_ns);
  record.process_key = key;
  record.parent_process_key = parent_key;
  record.pid = pid;
  record.command_bytes = static_cast<uint32_t>(command.size());
  record.forked = forked ? 1 : 0;
  return with_tail(record, command.data(), command.size());
}
inline std::vector<std::byte> module_record(uint64_t time_ns, const std::string& path,
                                            uint64_t base, uint64_t start, uint64_t end,
                                            const std::string& build_id = "") {
  auto record = make<wire::Module>(wire::RecordType::kModule, time_ns);
  record.base = base;
  record.start = start;
  record.end = end;
  record.path_bytes = static_cast<uint32_t>(path.size());
  record.build_id_bytes = static_cast<uint32_t>(build_id.size());
  const std::string tail = path + build_id;
  return with_tail(record, tail.data(), tail.size());
}

// One thread's end of a ring.
class FakeProducer {
 public:
  // Claims the first free slot of a mapped arena; dies when there is none.
  FakeProducer(std::byte* arena, uint64_t process_key, int32_t pid, int32_t tid) {
    for (uint32_t slot = 0; slot < wire::kRingCount; ++slot) {
      std::byte* at = arena + wire::ring_offset(slot);
      auto* header = reinterpret_cast<wire::RingHeader*>(at);
      auto expected = wire::RingState::kFree;
      if (!header->state.compare_exchange_strong(expected, wire::RingState::kClaimed)) continue;
      header->pid = pid;
      header->tid = tid;
      header->process_key = process_key;
      std::strcpy(header->thread_name, "fake");
      header_ = header;
      data_ = at + wire::kPageBytes;
      arena_ = reinterpret_cast<wire::ArenaHeader*>(arena);
      slot_ = slot;
      header->state.store(wire::RingState::kLive, std::memory_order_release);
      return;
    }
    std::abort();
  }
  void close() { header_->state.store(wire::RingState::kClosed, std::memory_order_release); }
  uint32_t slot() const { return slot_; }
  wire::RingHeader& header() { return *header_; }
  std::byte* data() { return data_; }

  void publish(const std::vector<std::byte>& record) { publish(record.data(), record.size()); }
  template <class Record>
  requires(!std::is_same_v<Record, std::vector<std::byte>>) void publish(const Record& record) {
    publish(&record, sizeof record);
  }
  void publish(const void* record, size_t bytes) {
    uint64_t head = header_->head.load(std::memory_order_relaxed);
    const uint64_t left = wire::kRingDataBytes - head % wire::kRingDataBytes;
    const uint64_t pad = left < bytes ? left : 0;
    wait_for_room(head, bytes + pad);
    if (pad != 0) {
      wire::Header padding{wire::RecordType::kPad, 0, static_cast<uint32_t>(pad), 0};
      std::memcpy(data_ + head % wire::kRingDataBytes, &padding, std::min<uint64_t>(pad, 16));
      head += pad;
    }
    std::memcpy(data_ + head % wire::kRingDataBytes, record, bytes);
    header_->head.store(head + bytes, std::memory_order_seq_cst);
  }

 private:
  void wait_for_room(uint64_t head, uint64_t bytes) {
    while (head + bytes - header_->tail.load(std::memory_order_seq_cst) > wire::kRingDataBytes) {
      const uint32_t released = header_->released.load(std::memory_order_seq_cst);
      header_->waiting.store(1, std::memory_order_seq_cst);
      arena_->doorbell.fetch_add(1);
      futex_wake_all(arena_->doorbell);
      if (head + bytes - header_->tail.load(std::memory_order_seq_cst) > wire::kRingDataBytes) {
        futex_wait(header_->released, released);
      }
      header_->waiting.store(0, std::memory_order_seq_cst);
    }
  }
  static void futex_wait(std::atomic<uint32_t>& word, uint32_t seen);

  wire::RingHeader* header_ = nullptr;
  std::byte* data_ = nullptr;
  wire::ArenaHeader* arena_ = nullptr;
  uint32_t slot_ = 0;
};

}  // namespace tidemark::collector::fakes

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
inline void tidemark::collector::fakes::FakeProducer::futex_wait(std::atomic<uint32_t>& word,
                                                                 uint32_t seen) {
  const timespec timeout{5, 0};  // a lost wake-up then shows as a slow test and not as a hang
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT, seen, &timeout, nullptr, 0);
}
