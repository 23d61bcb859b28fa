// CUPTI's records become the wire's: with the structs of the real headers.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>

#include "activity.h"

namespace tidemark::cuda {
namespace {

// GIVEN that NVIDIA appends to its structs, the oldest one that is read must be a prefix.
#define SAME_FIELD(older, newer, field)                                                      \
  EXPECT_EQ(offsetof(older, field), offsetof(newer, field)) << #older " " #newer " " #field; \
  EXPECT_EQ(sizeof(older::field), sizeof(newer::field)) << #older " " #newer " " #field

TEST(CudaActivity, structs_that_are_read_are_prefixes_of_the_newest_ones) {
#if CUPTI_API_VERSION >= 130000
  SAME_FIELD(CUpti_ActivityKernel9, CUpti_ActivityKernel10, kind);
  SAME_FIELD(CUpti_ActivityKernel9, CUpti_ActivityKernel10, start);
  SAME_FIELD(CUpti_ActivityKernel9, CUpti_ActivityKernel10, end);
  SAME_FIELD(CUpti_ActivityKernel9, CUpti_ActivityKernel10, deviceId);
  SAME_FIELD(CUpti_ActivityKernel9, CUpti_ActivityKernel10, streamId);
  SAME_FIELD(CUpti_ActivityKernel9, CUpti_ActivityKernel10, correlationId);
  SAME_FIELD(CUpti_ActivityKernel9, CUpti_ActivityKernel10, name);
  SAME_FIELD(CUpti_ActivityKernel9, CUpti_ActivityKernel10, graphId);
  SAME_FIELD(CUpti_ActivityKernel9, CUpti_ActivityKernel10, graphNodeId);
  SAME_FIELD(CUpti_ActivityMemcpy5, CUpti_ActivityMemcpy6, copyKind);
  SAME_FIELD(CUpti_ActivityMemcpy5, CUpti_ActivityMemcpy6, srcKind);
  SAME_FIELD(CUpti_ActivityMemcpy5, CUpti_ActivityMemcpy6, dstKind);
  SAME_FIELD(CUpti_ActivityMemcpy5, CUpti_ActivityMemcpy6, flags);
  SAME_FIELD(CUpti_ActivityMemcpy5, CUpti_ActivityMemcpy6, bytes);
  SAME_FIELD(CUpti_ActivityMemcpy5, CUpti_ActivityMemcpy6, start);
  SAME_FIELD(CUpti_ActivityMemcpy5, CUpti_ActivityMemcpy6, end);
  SAME_FIELD(CUpti_ActivityMemcpy5, CUpti_ActivityMemcpy6, deviceId);
  SAME_FIELD(CUpti_ActivityMemcpy5, CUpti_ActivityMemcpy6, streamId);
  SAME_FIELD(CUpti_ActivityMemcpy5, CUpti_ActivityMemcpy6, correlationId);
  SAME_FIELD(CUpti_ActivityMemory3, CUpti_ActivityMemory4, memoryOperationType);
  SAME_FIELD(CUpti_ActivityMemory3, CUpti_ActivityMemory4, memoryKind);
  SAME_FIELD(CUpti_ActivityMemory3, CUpti_ActivityMemory4, correlationId);
  SAME_FIELD(CUpti_ActivityMemory3, CUpti_ActivityMemory4, address);
  SAME_FIELD(CUpti_ActivityMemory3, CUpti_ActivityMemory4, bytes);
  SAME_FIELD(CUpti_ActivityMemory3, CUpti_ActivityMemory4, timestamp);
  SAME_FIELD(CUpti_ActivityMemory3, CUpti_ActivityMemory4, deviceId);
  SAME_FIELD(CUpti_ActivityMemory3, CUpti_ActivityMemory4, memoryPoolConfig);
  EXPECT_EQ(sizeof(CUpti_ActivityMemory3), offsetof(CUpti_ActivityMemory4, source));
  SAME_FIELD(CUpti_ActivityMemoryPool2, CUpti_ActivityMemoryPool3, kind);
  SAME_FIELD(CUpti_ActivityMemoryPool2, CUpti_ActivityMemoryPool3, memoryPoolOperationType);
  SAME_FIELD(CUpti_ActivityMemoryPool2, CUpti_ActivityMemoryPool3, memoryPoolType);
  SAME_FIELD(CUpti_ActivityMemoryPool2, CUpti_ActivityMemoryPool3, deviceId);
  SAME_FIELD(CUpti_ActivityMemoryPool2, CUpti_ActivityMemoryPool3, address);
  SAME_FIELD(CUpti_ActivityMemoryPool2, CUpti_ActivityMemoryPool3, size);
  SAME_FIELD(CUpti_ActivityMemoryPool2, CUpti_ActivityMemoryPool3, timestamp);
  SAME_FIELD(CUpti_ActivityMemoryPool2, CUpti_ActivityMemoryPool3, utilizedSize);
  SAME_FIELD(CUpti_ActivityUnifiedMemoryCounter2, CUpti_ActivityUnifiedMemoryCounter3, counterKind);
  SAME_FIELD(CUpti_ActivityUnifiedMemoryCounter2, CUpti_ActivityUnifiedMemoryCounter3, value);
  SAME_FIELD(CUpti_ActivityUnifiedMemoryCounter2, CUpti_ActivityUnifiedMemoryCounter3, start);
  SAME_FIELD(CUpti_ActivityUnifiedMemoryCounter2, CUpti_ActivityUnifiedMemoryCounter3, end);
  SAME_FIELD(CUpti_ActivityUnifiedMemoryCounter2, CUpti_ActivityUnifiedMemoryCounter3, address);
  SAME_FIELD(CUpti_ActivityUnifiedMemoryCounter2, CUpti_ActivityUnifiedMemoryCounter3, srcId);
  SAME_FIELD(CUpti_ActivityUnifiedMemoryCounter2, CUpti_ActivityUnifiedMemoryCounter3, dstId);
#else
  GTEST_SKIP() << "headers older than CUDA 13.0 have no newer structs to compare with";
#endif
}

CUpti_ActivityMemcpy5 a_copy(uint8_t kind, uint8_t src, uint8_t dst) {
  CUpti_ActivityMemcpy5 record{};
  record.kind = CUPTI_ACTIVITY_KIND_MEMCPY;
  record.copyKind = kind;
  record.srcKind = src;
  record.dstKind = dst;
  record.flags = CUPTI_ACTIVITY_FLAG_MEMCPY_ASYNC;
  record.bytes = 4096;
  record.start = 1000;
  record.end = 1500;
  record.deviceId = 1;
  record.streamId = 13;
  record.correlationId = 77;
  return record;
}

TEST(CudaActivity, a_copy_keeps_every_field) {
  const auto record = a_copy(CUPTI_ACTIVITY_MEMCPY_KIND_HTOD, CUPTI_ACTIVITY_MEMORY_KIND_PINNED,
                             CUPTI_ACTIVITY_MEMORY_KIND_DEVICE);
  wire::Transfer out;
  ASSERT_EQ(to_transfer(record, out), Outcome::kConverted);
  EXPECT_EQ(out.header.type, wire::RecordType::kTransfer);
  EXPECT_EQ(out.header.bytes, sizeof out);
  EXPECT_EQ(out.header.time_ns, 1000U);
  EXPECT_EQ(out.end_ns, 1500U);
  EXPECT_EQ(out.bytes, 4096U);
  EXPECT_EQ(out.correlation, 77U);
  EXPECT_EQ(out.stream, 13U);
  EXPECT_EQ(out.device, 1);
  EXPECT_EQ(out.peer_device, -1);
  EXPECT_EQ(out.kind, wire::TransferKind::kHtoD);
  EXPECT_EQ(out.src_space, wire::Space::kPinned);
  EXPECT_EQ(out.dst_space, wire::Space::kDevice);
  EXPECT_EQ(out.asynchronous, 1);
}

TEST(CudaActivity, pageable_memory_is_host_and_arrays_are_device) {
  wire::Transfer out;
  to_transfer(a_copy(CUPTI_ACTIVITY_MEMCPY_KIND_ATOH, CUPTI_ACTIVITY_MEMORY_KIND_ARRAY,
                     CUPTI_ACTIVITY_MEMORY_KIND_PAGEABLE),
              out);
  EXPECT_EQ(out.kind, wire::TransferKind::kDtoH);
  EXPECT_EQ(out.src_space, wire::Space::kDevice);
  EXPECT_EQ(out.dst_space, wire::Space::kHost);
}

TEST(CudaActivity, every_copy_kind_has_its_direction) {
  const struct {
    int cupti;
    wire::TransferKind kind;
  } kKinds[] = {{CUPTI_ACTIVITY_MEMCPY_KIND_HTOD, wire::TransferKind::kHtoD},
                {CUPTI_ACTIVITY_MEMCPY_KIND_HTOA, wire::TransferKind::kHtoD},
                {CUPTI_ACTIVITY_MEMCPY_KIND_DTOH, wire::TransferKind::kDtoH},
                {CUPTI_ACTIVITY_MEMCPY_KIND_ATOH, wire::TransferKind::kDtoH},
                {CUPTI_ACTIVITY_MEMCPY_KIND_ATOA, wire::TransferKind::kDtoD},
                {CUPTI_ACTIVITY_MEMCPY_KIND_ATOD, wire::TransferKind::kDtoD},
                {CUPTI_ACTIVITY_MEMCPY_KIND_DTOA, wire::TransferKind::kDtoD},
                {CUPTI_ACTIVITY_MEMCPY_KIND_DTOD, wire::TransferKind::kDtoD},
                {CUPTI_ACTIVITY_MEMCPY_KIND_HTOH, wire::TransferKind::kHtoH},
                {CUPTI_ACTIVITY_MEMCPY_KIND_PTOP, wire::TransferKind::kPtoP}};
  for (const auto& [cupti, kind] : kKinds) {
    wire::Transfer out;
    to_transfer(a_copy(static_cast<uint8_t>(cupti), 0, 0), out);
    EXPECT_EQ(out.kind, kind) << cupti;
  }
}

TEST(CudaActivity, a_copy_of_unknown_kind_is_told_by_its_two_memories) {
  wire::Transfer out;
  to_transfer(a_copy(0, CUPTI_ACTIVITY_MEMORY_KIND_PAGEABLE, CUPTI_ACTIVITY_MEMORY_KIND_DEVICE),
              out);
  EXPECT_EQ(out.kind, wire::TransferKind::kHtoD);
  to_transfer(a_copy(0, CUPTI_ACTIVITY_MEMORY_KIND_MANAGED, CUPTI_ACTIVITY_MEMORY_KIND_PINNED),
              out);
  EXPECT_EQ(out.kind, wire::TransferKind::kDtoH);
  EXPECT_EQ(out.src_space, wire::Space::kManaged);
}

TEST(CudaActivity, memories_of_unknown_kind_follow_the_direction) {
  wire::Transfer out;
  to_transfer(a_copy(CUPTI_ACTIVITY_MEMCPY_KIND_HTOD, 0, 0), out);
  EXPECT_EQ(out.src_space, wire::Space::kHost);
  EXPECT_EQ(out.dst_space, wire::Space::kDevice);
}

TEST(CudaActivity, a_copy_between_devices_names_the_destination) {
  CUpti_ActivityMemcpyPtoP4 record{};
  record.kind = CUPTI_ACTIVITY_KIND_MEMCPY2;
  record.copyKind = CUPTI_ACTIVITY_MEMCPY_KIND_PTOP;
  record.srcKind = record.dstKind = CUPTI_ACTIVITY_MEMORY_KIND_DEVICE;
  record.start = 5;
  record.end = 9;
  record.bytes = 1;
  record.deviceId = record.srcDeviceId = 2;
  record.dstDeviceId = 3;
  record.correlationId = 8;
  wire::Transfer out;
  ASSERT_EQ(to_transfer(record, out), Outcome::kConverted);
  EXPECT_EQ(out.kind, wire::TransferKind::kPtoP);
  EXPECT_EQ(out.device, 2);
  EXPECT_EQ(out.peer_device, 3);
  EXPECT_EQ(out.correlation, 8U);
}

TEST(CudaActivity, a_set_keeps_every_field) {
  CUpti_ActivityMemset4 record{};
  record.kind = CUPTI_ACTIVITY_KIND_MEMSET;
  record.bytes = 512;
  record.start = 10;
  record.end = 20;
  record.deviceId = 4;
  record.streamId = 7;
  record.correlationId = 99;
  wire::Memset out;
  ASSERT_EQ(to_memset(record, out), Outcome::kConverted);
  EXPECT_EQ(out.header.type, wire::RecordType::kMemset);
  EXPECT_EQ(out.header.time_ns, 10U);
  EXPECT_EQ(out.end_ns, 20U);
  EXPECT_EQ(out.bytes, 512U);
  EXPECT_EQ(out.device, 4);
  EXPECT_EQ(out.stream, 7U);
  EXPECT_EQ(out.correlation, 99U);
}

CUpti_ActivityKernel9 a_kernel(uint64_t start, uint64_t end) {
  CUpti_ActivityKernel9 record{};
  record.kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
  record.start = start;
  record.end = end;
  record.deviceId = 1;
  record.streamId = 21;
  record.correlationId = 5;
  record.graphId = 6;
  record.graphNodeId = 77;
  record.name = "k";
  return record;
}

TEST(CudaActivity, a_kernel_keeps_every_field) {
  wire::Kernel out;
  ASSERT_EQ(to_kernel(a_kernel(100, 160), out), Outcome::kConverted);
  EXPECT_EQ(out.header.type, wire::RecordType::kKernel);
  EXPECT_EQ(out.header.bytes, sizeof out);
  EXPECT_EQ(out.header.time_ns, 100U);
  EXPECT_EQ(out.end_ns, 160U);
  EXPECT_EQ(out.correlation, 5U);
  EXPECT_EQ(out.stream, 21U);
  EXPECT_EQ(out.graph, 6U);
  EXPECT_EQ(out.graph_node, 77U);
  EXPECT_EQ(out.device, 1);
  EXPECT_EQ(out.name, 0U);
}

TEST(CudaActivity, work_without_times_has_no_place_on_a_timeline) {
  wire::Kernel out;
  EXPECT_EQ(to_kernel(a_kernel(0, 0), out), Outcome::kTimeless);
  EXPECT_EQ(to_kernel(a_kernel(100, 0), out), Outcome::kTimeless);
}

TEST(CudaActivity, work_never_ends_before_it_starts) {
  wire::Kernel out;
  ASSERT_EQ(to_kernel(a_kernel(100, 99), out), Outcome::kConverted);
  EXPECT_EQ(out.end_ns, 100U);
}

TEST(CudaActivity, only_static_memory_belongs_to_a_module) {
  for (const uint32_t kind : {0U, 1U, 2U, 3U, 4U, 5U}) {
    CUpti_ActivityMemory3 record{};
    record.memoryKind = static_cast<CUpti_ActivityMemoryKind>(kind);
    EXPECT_FALSE(is_module_memory(record)) << kind;
  }
}

TEST(CudaActivity, module_memory_keeps_every_field_and_its_source) {
#if CUPTI_API_VERSION >= 130000
  CUpti_ActivityMemory4 record{};
  record.kind = CUPTI_ACTIVITY_KIND_MEMORY2;
  record.memoryKind = CUPTI_ACTIVITY_MEMORY_KIND_DEVICE_STATIC;
  record.memoryOperationType = CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION;
  record.address = 0x7f0000000000;
  record.bytes = 12345;
  record.timestamp = 55;
  record.deviceId = 2;
  record.correlationId = 31;
  record.source = "/lib/libtorch_cuda.so";
  alignas(8) unsigned char buffer[sizeof record];  // as in an activity buffer
  std::memcpy(buffer, &record, sizeof record);
  const auto& older = *reinterpret_cast<const CUpti_ActivityMemory3*>(buffer);
  ASSERT_TRUE(is_module_memory(older));
  wire::DeviceAlloc out;
  to_module_alloc(older, out);
  EXPECT_EQ(out.header.type, wire::RecordType::kDeviceAlloc);
  EXPECT_EQ(out.header.detail, static_cast<uint16_t>(wire::Api::kCudaModule));
  EXPECT_EQ(out.header.time_ns, 55U);
  EXPECT_EQ(out.address, 0x7f0000000000U);
  EXPECT_EQ(out.size, 12345U);
  EXPECT_EQ(out.layer, wire::Layer::kDriver);
  EXPECT_EQ(out.space, wire::Space::kDevice);
  EXPECT_EQ(out.device, 2);
  EXPECT_EQ(out.correlation, 31U);
  EXPECT_STREQ(memory_source(older), "/lib/libtorch_cuda.so");
  wire::Free freed;
  to_module_free(older, freed);
  EXPECT_EQ(freed.header.type, wire::RecordType::kFree);
  EXPECT_EQ(freed.address, 0x7f0000000000U);
  EXPECT_EQ(freed.header.time_ns, 55U);
  EXPECT_EQ(freed.layer, wire::Layer::kDriver);
#else
  GTEST_SKIP() << "headers older than CUDA 12.6 have no source field";
#endif
}

CUpti_ActivityMemory3 an_allocation_of_a_pool() {
  CUpti_ActivityMemory3 record{};
  record.kind = CUPTI_ACTIVITY_KIND_MEMORY2;
  record.timestamp = 77;
  record.deviceId = 3;
  record.address = 0x9000;
  record.bytes = 100;
  record.memoryPoolConfig.memoryPoolType = CUPTI_ACTIVITY_MEMORY_POOL_TYPE_LOCAL;
  record.memoryPoolConfig.address = 0x1234;
  record.memoryPoolConfig.pool.size = 33554432;
  record.memoryPoolConfig.utilizedSize = 512;
  return record;
}

TEST(CudaActivity, an_allocation_of_a_pool_tells_what_the_pool_holds) {
  wire::DriverPool out;
  ASSERT_TRUE(to_driver_pool(an_allocation_of_a_pool(), out));
  EXPECT_EQ(out.header.type, wire::RecordType::kDriverPool);
  EXPECT_EQ(out.header.bytes, sizeof out);
  EXPECT_EQ(out.header.time_ns, 77U);
  EXPECT_EQ(out.pool, 0x1234U);
  EXPECT_EQ(out.held, 33554432U);
  EXPECT_EQ(out.used, 512U);
  EXPECT_EQ(out.device, 3);
}

TEST(CudaActivity, memory_of_no_pool_or_of_another_process_tells_nothing_of_one) {
  CUpti_ActivityMemory3 record = an_allocation_of_a_pool();
  wire::DriverPool out;
  record.memoryPoolConfig.memoryPoolType = CUPTI_ACTIVITY_MEMORY_POOL_TYPE_INVALID;
  EXPECT_FALSE(to_driver_pool(record, out));
  record.memoryPoolConfig.memoryPoolType = CUPTI_ACTIVITY_MEMORY_POOL_TYPE_IMPORTED;
  EXPECT_FALSE(to_driver_pool(record, out));
}

TEST(CudaActivity, a_pool_that_is_trimmed_keeps_the_rest_and_others_hold_nothing) {
  CUpti_ActivityMemoryPool2 record{};
  record.kind = CUPTI_ACTIVITY_KIND_MEMORY_POOL;
  record.memoryPoolOperationType = CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_TRIMMED;
  record.memoryPoolType = CUPTI_ACTIVITY_MEMORY_POOL_TYPE_LOCAL;
  record.address = 0x1234;
  record.size = 4096;
  record.utilizedSize = 512;
  record.timestamp = 88;
  record.deviceId = 1;
  wire::DriverPool trimmed;
  ASSERT_TRUE(to_driver_pool(record, trimmed));
  EXPECT_EQ(trimmed.header.time_ns, 88U);
  EXPECT_EQ(trimmed.pool, 0x1234U);
  EXPECT_EQ(trimmed.held, 4096U);
  EXPECT_EQ(trimmed.used, 512U);
  EXPECT_EQ(trimmed.device, 1);
  // Of a created one CUPTI gives the step in which it will grow.
  for (const auto operation : {CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_CREATED,
                               CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_DESTROYED}) {
    record.memoryPoolOperationType = operation;
    wire::DriverPool empty;
    ASSERT_TRUE(to_driver_pool(record, empty));
    EXPECT_EQ(empty.pool, 0x1234U);
    EXPECT_EQ(empty.held, 0U);
    EXPECT_EQ(empty.used, 0U);
  }
  record.memoryPoolType = CUPTI_ACTIVITY_MEMORY_POOL_TYPE_IMPORTED;
  EXPECT_FALSE(to_driver_pool(record, trimmed));
}

CUpti_ActivityUnifiedMemoryCounter2 a_counter(CUpti_ActivityUnifiedMemoryCounterKind kind) {
  CUpti_ActivityUnifiedMemoryCounter2 record{};
  record.kind = CUPTI_ACTIVITY_KIND_UNIFIED_MEMORY_COUNTER;
  record.counterKind = kind;
  record.value = 65536;
  record.start = 100;
  record.end = 150;
  record.address = 0x7f0000000000;
  record.srcId = 1;
  record.dstId = 2;
  return record;
}

TEST(CudaActivity, every_counter_of_managed_pages_has_its_fields) {
  using Kind = wire::MigrationKind;
  const struct {
    CUpti_ActivityUnifiedMemoryCounterKind cupti;
    Kind kind;
    uint64_t bytes;
    uint32_t faults;
    int16_t src;
    int16_t dst;
    uint64_t end_ns;
  } kCounters[] = {
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_BYTES_TRANSFER_HTOD, Kind::kHtoD, 65536, 0, -1, 2,
       150},
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_BYTES_TRANSFER_DTOH, Kind::kDtoH, 65536, 0, 1, -1,
       150},
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_BYTES_TRANSFER_DTOD, Kind::kDtoD, 65536, 0, 1, 2,
       150},
      // The value is where the program was, and there is no end.
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_CPU_PAGE_FAULT_COUNT, Kind::kCpuFault, 0, 1, -1,
       -1, 100},
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_GPU_PAGE_FAULT, Kind::kGpuFault, 0, 65536, 1, -1,
       150},
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_THRASHING, Kind::kThrashing, 65536, 0, -1, -1,
       100},
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_THROTTLING, Kind::kThrottling, 0, 0, 1, -1, 150},
      {CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_REMOTE_MAP, Kind::kRemoteMap, 65536, 0, 1, 2,
       100},
  };
  for (const auto& want : kCounters) {
    wire::Migration out;
    ASSERT_TRUE(to_migration(a_counter(want.cupti), out)) << want.cupti;
    EXPECT_EQ(out.header.type, wire::RecordType::kMigration);
    EXPECT_EQ(out.header.bytes, sizeof out);
    EXPECT_EQ(out.header.time_ns, 100U);
    EXPECT_EQ(out.address, 0x7f0000000000U);
    EXPECT_EQ(out.kind, want.kind);
    EXPECT_EQ(out.bytes, want.bytes) << want.cupti;
    EXPECT_EQ(out.faults, want.faults) << want.cupti;
    EXPECT_EQ(out.src_device, want.src) << want.cupti;
    EXPECT_EQ(out.dst_device, want.dst) << want.cupti;
    EXPECT_EQ(out.end_ns, want.end_ns) << want.cupti;
  }
}

TEST(CudaActivity, a_counter_that_is_not_known_is_no_migration_and_no_end_is_before_its_start) {
  wire::Migration out;
  EXPECT_FALSE(to_migration(a_counter(CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_UNKNOWN), out));
  auto record = a_counter(CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_BYTES_TRANSFER_HTOD);
  record.end = 99;
  ASSERT_TRUE(to_migration(record, out));
  EXPECT_EQ(out.end_ns, 100U);
}

}  // namespace
}  // namespace tidemark::cuda
