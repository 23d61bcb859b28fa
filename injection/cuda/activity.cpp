#include "activity.h"

#include <cstring>
#include <iterator>

namespace tidemark::cuda {

using wire::Space;
using wire::TransferKind;

namespace {

template <class Record>
void set_header(Record& out, wire::RecordType type, uint64_t time_ns, wire::Api api) {
  out = Record{};
  out.header.type = type;
  out.header.detail = static_cast<uint16_t>(api);
  out.header.bytes = sizeof(Record);
  out.header.time_ns = time_ns;
}

int16_t ordinal(uint32_t device) {
  return device <= INT16_MAX ? static_cast<int16_t>(device) : int16_t{-1};
}

Space space_of(uint32_t memory_kind, Space otherwise) {
  switch (memory_kind) {
    case CUPTI_ACTIVITY_MEMORY_KIND_PAGEABLE:
      return Space::kHost;
    case CUPTI_ACTIVITY_MEMORY_KIND_PINNED:
      return Space::kPinned;
    case CUPTI_ACTIVITY_MEMORY_KIND_DEVICE:
    case CUPTI_ACTIVITY_MEMORY_KIND_ARRAY:
    case CUPTI_ACTIVITY_MEMORY_KIND_DEVICE_STATIC:
      return Space::kDevice;
    case CUPTI_ACTIVITY_MEMORY_KIND_MANAGED:
    case CUPTI_ACTIVITY_MEMORY_KIND_MANAGED_STATIC:
      return Space::kManaged;
    default:
      return otherwise;
  }
}

bool on_host(uint32_t memory_kind) {
  return memory_kind == CUPTI_ACTIVITY_MEMORY_KIND_PAGEABLE ||
         memory_kind == CUPTI_ACTIVITY_MEMORY_KIND_PINNED;
}

TransferKind kind_of(uint32_t copy_kind, uint32_t src_kind, uint32_t dst_kind) {
  switch (copy_kind) {
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOD:
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOA:
      return TransferKind::kHtoD;
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOH:
    case CUPTI_ACTIVITY_MEMCPY_KIND_ATOH:
      return TransferKind::kDtoH;
    case CUPTI_ACTIVITY_MEMCPY_KIND_ATOA:
    case CUPTI_ACTIVITY_MEMCPY_KIND_ATOD:
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOA:
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOD:
      return TransferKind::kDtoD;
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOH:
      return TransferKind::kHtoH;
    case CUPTI_ACTIVITY_MEMCPY_KIND_PTOP:
      return TransferKind::kPtoP;
    default:
      break;
  }
  // CUPTI says "unknown" of some copies by unified addresses; the two memories tell.
  if (on_host(src_kind)) return on_host(dst_kind) ? TransferKind::kHtoH : TransferKind::kHtoD;
  return on_host(dst_kind) ? TransferKind::kDtoH : TransferKind::kDtoD;
}

template <class Record>
Outcome times(const Record& record, uint64_t& end_ns) {
  if (record.start == 0 || record.end == 0) return Outcome::kTimeless;
  // GPU times are interpolated onto the host's clock: the shortest work may come out backwards.
  end_ns = record.end < record.start ? record.start : record.end;
  return Outcome::kConverted;
}

template <class Record>
Outcome to_any_transfer(const Record& record, wire::Transfer& out) {
  set_header(out, wire::RecordType::kTransfer, record.start, wire::Api::kUnknown);
  out.bytes = record.bytes;
  out.correlation = record.correlationId;
  out.stream = record.streamId;
  out.device = ordinal(record.deviceId);
  out.peer_device = -1;
  out.kind = kind_of(record.copyKind, record.srcKind, record.dstKind);
  const bool from_host = out.kind == TransferKind::kHtoD || out.kind == TransferKind::kHtoH;
  const bool to_host = out.kind == TransferKind::kDtoH || out.kind == TransferKind::kHtoH;
  out.src_space = space_of(record.srcKind, from_host ? Space::kHost : Space::kDevice);
  out.dst_space = space_of(record.dstKind, to_host ? Space::kHost : Space::kDevice);
  out.asynchronous = (record.flags & CUPTI_ACTIVITY_FLAG_MEMCPY_ASYNC) != 0 ? 1 : 0;
  return times(record, out.end_ns);
}

}  // namespace

Outcome to_transfer(const CUpti_ActivityMemcpy5& record, wire::Transfer& out) {
  return to_any_transfer(record, out);
}

Outcome to_transfer(const CUpti_ActivityMemcpyPtoP4& record, wire::Transfer& out) {
  const Outcome outcome = to_any_transfer(record, out);
  out.kind = TransferKind::kPtoP;
  out.peer_device = ordinal(record.dstDeviceId);
  return outcome;
}

Outcome to_memset(const CUpti_ActivityMemset4& record, wire::Memset& out) {
  set_header(out, wire::RecordType::kMemset, record.start, wire::Api::kUnknown);
  out.bytes = record.bytes;
  out.correlation = record.correlationId;
  out.stream = record.streamId;
  out.device = ordinal(record.deviceId);
  return times(record, out.end_ns);
}

Outcome to_kernel(const CUpti_ActivityKernel9& record, wire::Kernel& out) {
  set_header(out, wire::RecordType::kKernel, record.start, wire::Api::kUnknown);
  out.correlation = record.correlationId;
  out.stream = record.streamId;
  out.graph = record.graphId;
  out.graph_node = record.graphNodeId;
  out.device = ordinal(record.deviceId);
  return times(record, out.end_ns);
}

bool is_module_memory(const CUpti_ActivityMemory3& record) {
  return record.memoryKind == CUPTI_ACTIVITY_MEMORY_KIND_DEVICE_STATIC ||
         record.memoryKind == CUPTI_ACTIVITY_MEMORY_KIND_MANAGED_STATIC;
}

void to_module_alloc(const CUpti_ActivityMemory3& record, wire::DeviceAlloc& out) {
  set_header(out, wire::RecordType::kDeviceAlloc, record.timestamp, wire::Api::kCudaModule);
  out.address = record.address;
  out.size = record.bytes;
  out.layer = wire::Layer::kDriver;
  out.space = space_of(record.memoryKind, Space::kDevice);
  out.device = ordinal(record.deviceId);
  out.correlation = record.correlationId;
}

void to_module_free(const CUpti_ActivityMemory3& record, wire::Free& out) {
  set_header(out, wire::RecordType::kFree, record.timestamp, wire::Api::kCudaModule);
  out.address = record.address;
  out.layer = wire::Layer::kDriver;
}

bool to_driver_pool(const CUpti_ActivityMemory3& record, wire::DriverPool& out) {
  const auto& pool = record.memoryPoolConfig;
  // Of another process's pool only that process knows what it holds.
  if (pool.memoryPoolType != CUPTI_ACTIVITY_MEMORY_POOL_TYPE_LOCAL) return false;
  set_header(out, wire::RecordType::kDriverPool, record.timestamp, wire::Api::kUnknown);
  out.pool = pool.address;
  out.held = pool.pool.size;
  out.used = pool.utilizedSize;
  out.device = ordinal(record.deviceId);
  return true;
}

bool to_driver_pool(const CUpti_ActivityMemoryPool2& record, wire::DriverPool& out) {
  if (record.memoryPoolType != CUPTI_ACTIVITY_MEMORY_POOL_TYPE_LOCAL) return false;
  set_header(out, wire::RecordType::kDriverPool, record.timestamp, wire::Api::kUnknown);
  out.pool = record.address;
  out.device = ordinal(record.deviceId);
  // Of a pool that was just created CUPTI gives the step in which it will grow (32 MiB,
  // CUPTI 13.0), and the driver says that it holds nothing.
  if (record.memoryPoolOperationType != CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_TRIMMED) {
    return true;
  }
  out.held = record.size;
  out.used = record.utilizedSize;
  return true;
}

bool to_migration(const CUpti_ActivityUnifiedMemoryCounter2& record, wire::Migration& out) {
  using wire::MigrationKind;
  // What a counter tells beside its start and address. A fault of the host has no more than these:
  // its value is where the program was.
  struct Counter {
    CUpti_ActivityUnifiedMemoryCounterKind cupti;
    MigrationKind kind;
    bool from_device = false;
    bool to_device = false;
    bool has_bytes = false;
    bool has_end = false;
  };
  constexpr Counter kCounters[] = {
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_BYTES_TRANSFER_HTOD, MigrationKind::kHtoD, false,
       true, true, true},
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_BYTES_TRANSFER_DTOH, MigrationKind::kDtoH, true,
       false, true, true},
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_BYTES_TRANSFER_DTOD, MigrationKind::kDtoD, true,
       true, true, true},
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_CPU_PAGE_FAULT_COUNT, MigrationKind::kCpuFault},
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_GPU_PAGE_FAULT, MigrationKind::kGpuFault, true,
       false, false, true},
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_THRASHING, MigrationKind::kThrashing, false,
       false, true, false},
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_THROTTLING, MigrationKind::kThrottling, true,
       false, false, true},
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_REMOTE_MAP, MigrationKind::kRemoteMap, true, true,
       true, false},
  };
  const Counter* counter = kCounters;
  while (counter != std::end(kCounters) && counter->cupti != record.counterKind) ++counter;
  if (counter == std::end(kCounters)) return false;
  set_header(out, wire::RecordType::kMigration, record.start, wire::Api::kUnknown);
  out.kind = counter->kind;
  out.address = record.address;
  out.src_device = counter->from_device ? ordinal(record.srcId) : int16_t{-1};
  out.dst_device = counter->to_device ? ordinal(record.dstId) : int16_t{-1};
  if (counter->has_bytes) out.bytes = record.value;
  if (out.kind == MigrationKind::kGpuFault) out.faults = static_cast<uint32_t>(record.value);
  if (out.kind == MigrationKind::kCpuFault) out.faults = 1;
  out.end_ns = record.start;
  if (counter->has_end && record.end > record.start) out.end_ns = record.end;
  return true;
}

const char* memory_source(const CUpti_ActivityMemory3& record) {
  const char* source = nullptr;
  const auto* bytes = reinterpret_cast<const unsigned char*>(&record);
  std::memcpy(&source, bytes + sizeof(CUpti_ActivityMemory3), sizeof source);
  return source;
}

}  // namespace tidemark::cuda
