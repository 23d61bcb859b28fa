// What the driver itself keeps books of, through the whole of libtidemark_cuda.so without a GPU:
// its memory pools, the pages of managed memory, and memory of other processes. As
// cuda_injection.cpp.
#include "cuda_injection_harness.h"

namespace {

template <class Record>
void add(const Record& record) {
  g_cupti->add_record(&record, sizeof record, true);
}
void deliver() { g_cupti->issue_resource(CUPTI_CBID_RESOURCE_CONTEXT_DESTROY_STARTING); }

void device_alloc() {
  void* out = pointer(0x8000);
  const cudaMalloc_v3020_params params{&out, 100};
  Call{RUNTIME(cudaMalloc_v3020), &params}.make();
}
void managed_alloc() {
  void* out = pointer(0x7000);
  const cudaMallocManaged_v6000_params params{&out, 100, cudaMemAttachGlobal};
  Call{RUNTIME(cudaMallocManaged_v6000), &params}.make();
}

void pools_tell_what_they_hold(uint32_t version) {
  open_fake_cupti();
  g_cupti->set_version(version);
  start_library();
  CUpti_ActivityMemory4 record{};
  record.kind = CUPTI_ACTIVITY_KIND_MEMORY2;
  record.memoryKind = CUPTI_ACTIVITY_MEMORY_KIND_DEVICE;
  record.memoryOperationType = CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION;
  record.memoryPoolConfig.memoryPoolType = CUPTI_ACTIVITY_MEMORY_POOL_TYPE_LOCAL;
  record.memoryPoolConfig.address = 0x1234;
  record.memoryPoolConfig.pool.size = 4096;
  record.memoryPoolConfig.utilizedSize = 100;
  add(record);
  CUpti_ActivityMemoryPool3 pool{};
  pool.kind = CUPTI_ACTIVITY_KIND_MEMORY_POOL;
  pool.memoryPoolType = CUPTI_ACTIVITY_MEMORY_POOL_TYPE_LOCAL;
  pool.memoryPoolOperationType = CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_DESTROYED;
  pool.address = 0x1234;
  pool.size = 4096;
  add(pool);
  deliver();
  const auto told = fake_client().all<wire::DriverPool>(RecordType::kDriverPool);
  CHECK(told.size() == 2 && told[0].pool == 0x1234 && told[1].pool == 0x1234);
  CHECK(told[0].held == 4096 && told[0].used == 100 && told[1].held == 0);
  CHECK(fake_client().loss(wire::Loss::kCuptiUnknownRecords) == 0);
}
void pools_tell_what_they_hold_with_cupti_13() { pools_tell_what_they_hold(130001); }
void pools_tell_what_they_hold_with_cupti_12() { pools_tell_what_they_hold(19); }

void pages_are_followed(uint32_t version) {
  open_fake_cupti();
  g_cupti->set_version(version);
  start_library();
  device_alloc();
  CHECK(g_cupti->counters_of(2) == 0);  // a program without managed memory
  CHECK(!g_cupti->kind_enabled(CUPTI_ACTIVITY_KIND_UNIFIED_MEMORY_COUNTER));
  managed_alloc();
  CHECK(g_cupti->counters_of(2) == 8 && g_cupti->counters_of(3) == 0);
  CHECK(g_cupti->kind_enabled(CUPTI_ACTIVITY_KIND_UNIFIED_MEMORY_COUNTER));
  CUpti_ActivityUnifiedMemoryCounter3 record{};
  record.kind = CUPTI_ACTIVITY_KIND_UNIFIED_MEMORY_COUNTER;
  record.counterKind = CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_BYTES_TRANSFER_HTOD;
  record.value = 65536;
  record.start = 1;
  record.end = 2;
  record.dstId = 2;
  add(record);
  add(record);
  record.start = 0;
  add(record);  // without a time
  record.counterKind = CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_UNKNOWN;
  add(record);
  deliver();
  const auto told = fake_client().all<wire::Migration>(RecordType::kMigration);
  CHECK(told.size() == 2 && told[0].bytes == 65536 && told[1].dst_device == 2);
  CHECK(fake_client().loss(wire::Loss::kCuptiRecordsDropped) == 1);
  CHECK(fake_client().loss(wire::Loss::kCuptiUnknownRecords) == 1);
}
void pages_are_followed_with_cupti_13() { pages_are_followed(130001); }
void pages_are_followed_with_cupti_12() { pages_are_followed(19); }

void pages_are_followed_on_every_device() {
  CHECK(dlopen(std::getenv("TIDEMARK_TEST_LIBCUDA"), RTLD_NOW) != nullptr);  // two devices
  open_fake_cupti();
  start_library();
  managed_alloc();
  CHECK(g_cupti->counters_of(0) == 8 && g_cupti->counters_of(1) == 8);
  CHECK(g_cupti->counters_of(2) == 0);
  managed_alloc();  // CUPTI takes no counters once they are enabled
  CHECK(fake_client().losses.empty());
}

void pages_that_cupti_does_not_tell_of_are_a_loss() {
  open_fake_cupti();
  g_cupti->set_unified_memory_result(CUPTI_ERROR_NOT_SUPPORTED);
  start_library();
  managed_alloc();
  managed_alloc();
  CHECK(fake_client().count(RecordType::kDeviceAlloc) == 2);
  CHECK(fake_client().loss(wire::Loss::kMigrationsUnavailable) == 1);
  CHECK(fake_client().meta["cuda.migrations"].find("not recorded: ") == 0);
  CHECK(!g_cupti->kind_enabled(CUPTI_ACTIVITY_KIND_UNIFIED_MEMORY_COUNTER));
}

void memory_of_another_process_is_imported() {
  CHECK(dlopen(std::getenv("TIDEMARK_TEST_LIBCUDA"), RTLD_NOW) != nullptr);
  open_fake_cupti();
  start_library();
  void* out = nullptr;
  CUdeviceptr device = 0;
  const cudaIpcOpenMemHandle_v4010_params params{&out, {}, 0};
  const cuIpcOpenMemHandle_v2_params inner{&device, {}, 0};
  const uint32_t correlation = g_next_correlation;
  Call{RUNTIME(cudaIpcOpenMemHandle_v4010), &params, 0, 0,
       [&] {
         Call{DRIVER(cuIpcOpenMemHandle_v2), &inner, 0, correlation}.make();
         device = 0x100100;
         out = pointer(0x100100);
       }}
      .make();
  const cudaIpcCloseMemHandle_v4010_params close{out};
  Call{RUNTIME(cudaIpcCloseMemHandle_v4010), &close}.make();
  Call{RUNTIME(cudaIpcCloseMemHandle_v4010), &close, cudaErrorInvalidValue}.make();  // it is closed
  Call{RUNTIME(cudaIpcOpenMemHandle_v4010), &params, cudaErrorInvalidValue}.make();
  const auto opened = fake_client().all<wire::Import>(RecordType::kImport);
  const auto closed = fake_client().all<wire::ImportEnd>(RecordType::kImportEnd);
  CHECK(opened.size() == 1 && closed.size() == 1);
  CHECK(fake_client().count(RecordType::kDeviceAlloc) == 0);
  CHECK(fake_client().count(RecordType::kFree) == 0);
  CHECK(opened[0].address == 0x100100 && opened[0].device == 2 && opened[0].stack != 0);
  CHECK(opened[0].size == 0x1000 - 0x100);  // of the other's block: it begins below
  CHECK(static_cast<Api>(opened[0].header.detail) == Api::kCudaIpcOpenMemHandle);
  CHECK(closed[0].address == 0x100100);
}

// As NCCL does it.
void memory_of_another_process_is_mapped_by_its_handle() {
  open_fake_cupti();
  start_library();
  CUmemGenericAllocationHandle handle = 0x55;
  const cuMemImportFromShareableHandle_params import{&handle, nullptr,
                                                     CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR};
  Call{DRIVER(cuMemImportFromShareableHandle), &import}.make();
  CHECK(fake_client().count(RecordType::kImport) == 0);  // a handle is no memory yet
  const cuMemMap_params map{0x10000, 2 << 20, 0, handle, 0};
  Call{DRIVER(cuMemMap), &map, CUDA_ERROR_INVALID_VALUE}.make();
  Call{DRIVER(cuMemMap), &map}.make();
  const cuMemRelease_params release{handle};
  Call{DRIVER(cuMemRelease), &release}.make();
  Call{DRIVER(cuMemMap), &map}.make();  // whatever has that number now
  const cuMemUnmap_params unmap{0x10000, 2 << 20};
  Call{DRIVER(cuMemUnmap), &unmap, CUDA_ERROR_INVALID_VALUE}.make();
  Call{DRIVER(cuMemUnmap), &unmap}.make();
  const auto opened = fake_client().all<wire::Import>(RecordType::kImport);
  const auto closed = fake_client().all<wire::ImportEnd>(RecordType::kImportEnd);
  CHECK(opened.size() == 1 && closed.size() == 1);
  CHECK(opened[0].address == 0x10000 && opened[0].size == 2 << 20 && opened[0].stack != 0);
  CHECK(static_cast<Api>(opened[0].header.detail) == Api::kCuMemImportFromShareableHandle);
  CHECK(closed[0].address == 0x10000);
  CHECK(fake_client().count(RecordType::kDeviceAlloc) == 0);
  CHECK(fake_client().count(RecordType::kFree) == 0);
}

void memory_that_a_process_hands_to_itself_is_not_imported() {
  open_fake_cupti();
  start_library();
  CUmemGenericAllocationHandle handle = 0x55;
  CUmemAllocationProp where{};
  const cuMemCreate_params create{&handle, 2 << 20, &where, 0};
  Call{DRIVER(cuMemCreate), &create}.make();
  const cuMemImportFromShareableHandle_params import{&handle, nullptr,
                                                     CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR};
  Call{DRIVER(cuMemImportFromShareableHandle), &import}.make();
  const cuMemRelease_params release{handle};
  Call{DRIVER(cuMemRelease), &release}.make();
  CHECK(fake_client().count(RecordType::kFree) == 0);  // by its other handle it is held
  Call{DRIVER(cuMemRelease), &release}.make();
  CHECK(fake_client().count(RecordType::kFree) == 1);
  CHECK(fake_client().count(RecordType::kImport) == 0);
}

const Scenario kScenarios[] = {
#define SCENARIO(name) \
  { #name, name }
    SCENARIO(pools_tell_what_they_hold_with_cupti_13),
    SCENARIO(pools_tell_what_they_hold_with_cupti_12),
    SCENARIO(pages_are_followed_with_cupti_13),
    SCENARIO(pages_are_followed_with_cupti_12),
    SCENARIO(pages_are_followed_on_every_device),
    SCENARIO(pages_that_cupti_does_not_tell_of_are_a_loss),
    SCENARIO(memory_of_another_process_is_imported),
    SCENARIO(memory_of_another_process_is_mapped_by_its_handle),
    SCENARIO(memory_that_a_process_hands_to_itself_is_not_imported),
};

}  // namespace

int main(int argc, char** argv) { return run_scenario(kScenarios, argc, argv); }
