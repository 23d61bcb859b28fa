// The whole of libtidemark_cuda.so without a GPU: one scenario a process (it starts once in a
// process, and its exit handler is part of what is tested). ctest passes the scenario's name.
//
//   this program ── exports tidemark_client (fake_client.cpp)
//     └ dlopen libtidemark_cuda.so ── InitializeInjection() ── dlopen TIDEMARK_CUPTI =
//     libfake_cupti.so
#include <sys/wait.h>

#include <thread>

#include "cuda_injection_harness.h"

namespace {

std::vector<wire::DeviceAlloc> allocations() {
  return fake_client().all<wire::DeviceAlloc>(RecordType::kDeviceAlloc);
}
std::vector<wire::Free> frees() { return fake_client().all<wire::Free>(RecordType::kFree); }
template <class Record>
Api api_of(const Record& record) {
  return static_cast<Api>(record.header.detail);
}

void device_alloc(uintptr_t address, size_t size) {
  void* out = pointer(address);
  const cudaMalloc_v3020_params params{&out, size};
  Call{RUNTIME(cudaMalloc_v3020), &params}.make();
}

// --- what calls leave behind ---------------------------------------------------------------------

void nested_calls_are_one_row_each() {
  open_fake_cupti();
  start_library();
  void* out = nullptr;
  CUdeviceptr device = 0;
  const cudaMalloc_v3020_params params{&out, 1000};
  const cuMemAlloc_v2_params inner{&device, 1024};
  uint32_t correlation = g_next_correlation;
  Call{RUNTIME(cudaMalloc_v3020), &params, 0, 0,
       [&] {
         Call{DRIVER(cuMemAlloc_v2), &inner, 0, correlation, [&] { device = 0x7000; }}.make();
         CHECK(allocations().empty());  // not before the outermost call has returned
         out = pointer(0x7000);
       }}
      .make();
  auto all = allocations();
  CHECK(all.size() == 1);
  CHECK(api_of(all[0]) == Api::kCudaMalloc);
  CHECK(all[0].address == 0x7000 && all[0].size == 1000);
  CHECK(all[0].layer == wire::Layer::kDriver && all[0].space == wire::Space::kDevice);
  CHECK(all[0].device == 2 && all[0].stack == 7001 && all[0].source == 0);
  CHECK(all[0].correlation == correlation);

  // The same driver call made by the program itself is a row of its own.
  Call{DRIVER(cuMemAlloc_v2), &inner}.make();
  all = allocations();
  CHECK(all.size() == 2 && api_of(all[1]) == Api::kCuMemAlloc && all[1].size == 1024);

  // A free stands in the trace before the driver acts.
  const cudaFree_v3020_params freed{pointer(0x7000)};
  const cuMemFree_v2_params inner_freed{0x7000};
  Call{RUNTIME(cudaFree_v3020), &freed, 0, 0,
       [&] {
         CHECK(frees().size() == 1);
         Call{DRIVER(cuMemFree_v2), &inner_freed, 0, g_next_correlation - 1}.make();
       }}
      .make();
  CHECK(frees().size() == 1);
  CHECK(api_of(frees()[0]) == Api::kCudaFree && frees()[0].address == 0x7000);
  CHECK(frees()[0].layer == wire::Layer::kDriver && frees()[0].stack == 7001);
  CHECK(fake_client().count(RecordType::kUndo) == 0);
  CHECK(fake_client().losses.empty());
}

void failed_calls_leave_nothing_or_an_undo() {
  open_fake_cupti();
  start_library();
  void* out = pointer(0x7000);
  const cudaMalloc_v3020_params params{&out, 1000};
  Call{RUNTIME(cudaMalloc_v3020), &params, 2}.make();
  CHECK(allocations().empty());
  const cudaFree_v3020_params nothing{nullptr};
  Call{RUNTIME(cudaFree_v3020), &nothing}.make();
  Call{RUNTIME(cudaFree_v3020), &nothing, 1}.make();
  CHECK(frees().empty() && fake_client().count(RecordType::kUndo) == 0);

  const cudaFree_v3020_params freed{pointer(0x7000)};
  Call{RUNTIME(cudaFree_v3020), &freed, 1}.make();
  CHECK(frees().size() == 1);
  struct Undo {
    wire::Header header;
  };
  const auto undone = fake_client().all<Undo>(RecordType::kUndo);
  CHECK(undone.size() == 1 && api_of(undone[0]) == Api::kCudaFree);
}

// The program may die of it: what it asked for stands in the trace.
void what_the_driver_refuses_is_out_of_memory() {
  open_fake_cupti();
  start_library();
  void* out = pointer(0x7000);
  const cudaMalloc_v3020_params params{&out, 1000};
  const cuMemAlloc_v2_params inner{nullptr, 1000};
  Call{RUNTIME(cudaMalloc_v3020), &params, 2, 0,
       [&] {
         Call{DRIVER(cuMemAlloc_v2), &inner, 2, g_next_correlation - 1}.make();
       }}
      .make();
  size_t pitch = 12345;  // chosen by nobody
  const cudaMallocPitch_v3020_params rows{&out, &pitch, 100, 8};
  Call{RUNTIME(cudaMallocPitch_v3020), &rows, 2}.make();
  const cudaHostAlloc_v3020_params pinned{&out, 4096, 0};
  Call{RUNTIME(cudaHostAlloc_v3020), &pinned, 2}.make();
  Call{RUNTIME(cudaMalloc_v3020), &params, 1}.make();  // an invalid value is no lack of memory
  CHECK(allocations().empty());
  const auto refused = fake_client().all<wire::OutOfMemory>(RecordType::kOutOfMemory);
  CHECK(refused.size() == 3);
  if (refused.size() != 3) return;
  CHECK(api_of(refused[0]) == Api::kCudaMalloc && refused[0].requested == 1000);
  CHECK(refused[0].layer == wire::Layer::kDriver && refused[0].device == 2);
  CHECK(refused[0].stack == 7001);
  CHECK(refused[1].requested == 800);
  CHECK(refused[2].requested == 4096 && refused[2].device == -1);
}

void ordered_pinned_and_managed_memory_say_so() {
  open_fake_cupti();
  start_library();
  void* out = pointer(0x1000);
  const cudaMallocAsync_v11020_params ordered{&out, 64, reinterpret_cast<cudaStream_t>(5)};
  Call{RUNTIME(cudaMallocAsync_v11020), &ordered}.make();
  const cudaMallocAsync_ptsz_v11020_params per_thread{&out, 64, nullptr};
  Call{RUNTIME(cudaMallocAsync_ptsz_v11020), &per_thread}.make();
  const cudaHostAlloc_v3020_params pinned{&out, 4096, 0};
  Call{RUNTIME(cudaHostAlloc_v3020), &pinned}.make();
  const cudaMallocManaged_v6000_params managed{&out, 8192, 1};
  Call{RUNTIME(cudaMallocManaged_v6000), &managed}.make();
  const cudaFreeAsync_v11020_params freed{pointer(0x1000), nullptr};
  Call{RUNTIME(cudaFreeAsync_v11020), &freed}.make();

  const auto all = allocations();
  CHECK(all.size() == 4);
  CHECK(api_of(all[0]) == Api::kCudaMallocAsync && all[0].stream == 105 && all[0].device == 2);
  CHECK(all[1].stream == 8);  // the thread's own default stream
  CHECK(all[2].space == wire::Space::kPinned && all[2].device == -1 && all[2].stream == 0);
  CHECK(all[3].space == wire::Space::kManaged && all[3].device == 2);
  CHECK(frees().size() == 1 && api_of(frees()[0]) == Api::kCudaFreeAsync);
  CHECK(frees()[0].header.time_ns >= all[3].header.time_ns);
}

void launches_say_who_asked_and_where() {
  open_fake_cupti();
  start_library();
  const cudaLaunchKernel_v7000_params kernel{};
  const cuLaunchKernel_params inner{};
  const uint32_t correlation = g_next_correlation;
  Call{RUNTIME(cudaLaunchKernel_v7000), &kernel, 0, 0,
       [&] {
         Call{DRIVER(cuLaunchKernel), &inner, 0, correlation}.make();
       }}
      .make();
  const cuMemcpyHtoDAsync_v2_params copy{0x20, pointer(0x10), 64, nullptr};
  Call{DRIVER(cuMemcpyHtoDAsync_v2), &copy}.make();
  const cudaMemsetAsync_v3020_params set{pointer(0x30), 0, 64, nullptr};
  Call{RUNTIME(cudaMemsetAsync_v3020), &set}.make();
  Call{CUPTI_CB_DOMAIN_RUNTIME_API, 505, nullptr}.make();  // what <<<…>>> is since CUDA 13
  const cudaGraphLaunch_v10000_params graph{};
  Call{RUNTIME(cudaGraphLaunch_v10000), &graph}.make();

  const auto all = fake_client().all<wire::Launch>(RecordType::kLaunch);
  CHECK(all.size() == 5);
  CHECK(all[0].correlation == correlation && all[0].src_address == 0 && all[0].dst_address == 0);
  CHECK(all[0].stack == 7001);
  CHECK(all[1].src_address == 0x10 && all[1].dst_address == 0x20);
  CHECK(all[2].src_address == 0 && all[2].dst_address == 0x30);
  CHECK(all[3].correlation == correlation + 3 && all[4].correlation == correlation + 4);
}

void physical_memory_is_counted_once() {
  open_fake_cupti();
  start_library();
  CUmemGenericAllocationHandle handle = 0x500;
  CUmemAllocationProp prop{};
  prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, {}};
  prop.location.id = 1;
  const cuMemCreate_params create{&handle, 2 << 20, &prop, 0};
  Call{DRIVER(cuMemCreate), &create}.make();
  const cuMemMap_params map{0x10000, 2 << 20, 0, handle, 0};
  Call{DRIVER(cuMemMap), &map}.make();
  CHECK(allocations().size() == 1);
  CHECK(allocations()[0].address == 0x500 && allocations()[0].size == 2 << 20);
  CHECK(allocations()[0].device == 1 && api_of(allocations()[0]) == Api::kCuMemCreate);

  const cuMemRelease_params release{handle};
  Call{DRIVER(cuMemRelease), &release}.make();
  CHECK(frees().empty());  // still mapped
  const cuMemUnmap_params unmap{0x10000, 2 << 20};
  Call{DRIVER(cuMemUnmap), &unmap, 1}.make();  // fails
  CHECK(frees().size() == 1 && fake_client().count(RecordType::kUndo) == 1);
  Call{DRIVER(cuMemUnmap), &unmap}.make();
  CHECK(frees().size() == 2 && fake_client().count(RecordType::kUndo) == 1);
  CHECK(frees()[1].address == 0x500 && api_of(frees()[1]) == Api::kCuMemUnmap);
}

void a_call_under_way_at_the_start_is_told_by_its_nested_call() {
  open_fake_cupti();
  start_library();
  // The program's first call loads the library: its entry was not seen, its exit is.
  CUdeviceptr device = 0x7000;
  const cuMemAlloc_v2_params inner{&device, 1024};
  Call{DRIVER(cuMemAlloc_v2), &inner}.make();
  void* out = pointer(0x7000);
  const cudaMalloc_v3020_params params{&out, 1000};
  int success = 0;
  CUpti_CallbackData data{};
  data.callbackSite = CUPTI_API_EXIT;
  data.functionParams = &params;
  data.functionReturnValue = &success;
  g_cupti->issue(RUNTIME(cudaMalloc_v3020), &data);
  CHECK(allocations().size() == 1 && api_of(allocations()[0]) == Api::kCuMemAlloc);
  device_alloc(0x8000, 10);  // and the count of nested calls is still right
  CHECK(allocations().size() == 2 && api_of(allocations()[1]) == Api::kCudaMalloc);
}

void threads_do_not_mix() {
  open_fake_cupti();
  start_library();
  constexpr size_t kThreads = 4;
  constexpr size_t kRounds = 500;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([t] {
      for (size_t i = 0; i < kRounds; ++i) {
        const uintptr_t address = 0x100000 * (t + 1) + i * 16;
        void* out = pointer(address);
        const auto id = static_cast<uint32_t>(t * kRounds + i + 1);
        const cudaMalloc_v3020_params params{&out, 16};
        const cudaFree_v3020_params freed{out};
        Call{RUNTIME(cudaMalloc_v3020), &params, 0, id,
             [&] {
               Call{DRIVER(cuMemAlloc_v2), &params, 0, id}.make();
             }}
            .make();
        Call{RUNTIME(cudaFree_v3020), &freed, 0, id}.make();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(allocations().size() == kThreads * kRounds && frees().size() == kThreads * kRounds);
}

// --- what the device did -------------------------------------------------------------------------

CUpti_ActivityKernel9 kernel(const char* name, uint64_t start, uint64_t end) {
  CUpti_ActivityKernel9 record{};
  record.kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
  record.name = name;
  record.start = start;
  record.end = end;
  record.correlationId = 11;
  return record;
}
template <class Record>
void add(const Record& record, bool finished = true) {
  g_cupti->add_record(&record, sizeof record, finished);
}
CUpti_ActivityMemory4 memory(CUpti_ActivityMemoryKind kind, bool allocation, uint64_t address,
                             uint32_t correlation) {
  CUpti_ActivityMemory4 record{};
  record.kind = CUPTI_ACTIVITY_KIND_MEMORY2;
  record.memoryKind = kind;
  record.memoryOperationType = allocation ? CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION
                                          : CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_RELEASE;
  record.address = address;
  record.bytes = 100;
  record.correlationId = correlation;
  record.timestamp = 5;
  record.source = "/lib/libsome.so";
  return record;
}

void wait_for_flush(uint32_t more) {
  const uint32_t wanted = g_cupti->flushes(false) + more;
  for (int i = 0; i < 500 && g_cupti->flushes(false) < wanted; ++i) usleep(10'000);
}

void the_device_is_followed(uint32_t version) {
  open_fake_cupti();
  g_cupti->set_version(version);
  start_library();
  CHECK(g_cupti->timestamps_came_first());
  for (const auto kind : {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
                          CUPTI_ACTIVITY_KIND_MEMCPY2, CUPTI_ACTIVITY_KIND_MEMSET,
                          CUPTI_ACTIVITY_KIND_MEMORY2, CUPTI_ACTIVITY_KIND_MEMORY_POOL}) {
    CHECK(g_cupti->kind_enabled(kind));
  }
  CHECK(!g_cupti->kind_enabled(CUPTI_ACTIVITY_KIND_GRAPH_TRACE));
  const uint64_t before = now_ns();
  CHECK(g_cupti->timestamp() >= before);
  CHECK(fake_client().meta["cuda.cupti_version"] == std::to_string(version));

  usleep(700'000);
  CHECK(g_cupti->flushes(false) == 0);  // no context: no thread, no flush
  CHECK(g_cupti->issue_resource(CUPTI_CBID_RESOURCE_CONTEXT_CREATED));
  static const char name[] = "_Z6kernelPf";
  for (int i = 0; i < 20'000; ++i) add(kernel(name, 100, 200));  // several buffers
  CUpti_ActivityMemcpy5 copy{};
  copy.kind = CUPTI_ACTIVITY_KIND_MEMCPY;
  copy.copyKind = CUPTI_ACTIVITY_MEMCPY_KIND_HTOD;
  copy.start = 1;
  copy.end = 2;
  add(copy);
  CUpti_ActivityMemcpyPtoP4 peer{};
  peer.kind = CUPTI_ACTIVITY_KIND_MEMCPY2;
  peer.start = 1;
  peer.end = 2;
  add(peer);
  CUpti_ActivityMemset4 set{};
  set.kind = CUPTI_ACTIVITY_KIND_MEMSET;
  set.start = 1;
  set.end = 2;
  add(set);
  add(kernel(name, 0, 0));
  CUpti_ActivityAPI unknown{};
  unknown.kind = CUPTI_ACTIVITY_KIND_RUNTIME;
  add(unknown);
  g_cupti->drop_records(3);
  wait_for_flush(2);

  test::lock_fake_client();
  CHECK(fake_client().count(RecordType::kKernel) == 20'000);
  const auto kernels = fake_client().all<wire::Kernel>(RecordType::kKernel);
  CHECK(fake_client().names[kernels[0].name] == name && kernels[0].correlation == 11);
  CHECK(fake_client().interned == 1);  // once for one text
  CHECK(fake_client().count(RecordType::kTransfer) == 2);
  CHECK(fake_client().count(RecordType::kMemset) == 1);
  CHECK(fake_client().loss(wire::Loss::kCuptiRecordsDropped) ==
        3 + 1);  // and the one without times
  CHECK(fake_client().loss(wire::Loss::kCuptiUnknownRecords) == 1);
  test::unlock_fake_client();

  CHECK(g_cupti->issue_resource(CUPTI_CBID_RESOURCE_MODULE_UNLOAD_STARTING));
  add(kernel(name, 100, 200));
  wait_for_flush(2);
  CHECK(fake_client().interned == 2);  // the text may be another one now
}

void the_device_is_followed_with_cupti_13() { the_device_is_followed(130001); }
void the_device_is_followed_with_cupti_12() { the_device_is_followed(19); }

void module_memory_is_published_and_nothing_twice() {
  open_fake_cupti();
  start_library();
  device_alloc(0x7000, 100);  // correlation 1
  add(memory(CUPTI_ACTIVITY_MEMORY_KIND_DEVICE, true, 0x7000, 1));
  add(memory(CUPTI_ACTIVITY_MEMORY_KIND_DEVICE_STATIC, true, 0x9000, 1));
  add(memory(CUPTI_ACTIVITY_MEMORY_KIND_DEVICE_STATIC, false, 0x9000, 2));
  add(memory(CUPTI_ACTIVITY_MEMORY_KIND_DEVICE, true, 0xa000, 999));  // a call that nobody saw
  g_cupti->issue_resource(CUPTI_CBID_RESOURCE_CONTEXT_DESTROY_STARTING);
  const auto all = allocations();
  CHECK(all.size() == 2);
  CHECK(api_of(all[1]) == Api::kCudaModule && all[1].address == 0x9000 && all[1].size == 100);
  CHECK(all[1].header.time_ns == 5);
  CHECK(fake_client().names[all[1].source] == "/lib/libsome.so");
  CHECK(frees().size() == 1 && frees()[0].address == 0x9000);
  g_at_the_end = [] {
    CHECK(fake_client().meta["cuda.memory2.uncovered"] == "1 allocations, 100 bytes");
  };
}

void an_older_cupti_has_no_sources() {
  open_fake_cupti();
  g_cupti->set_version(19);
  start_library();
  CUpti_ActivityMemory3 record{};
  const auto newer = memory(CUPTI_ACTIVITY_MEMORY_KIND_DEVICE_STATIC, true, 0x9000, 1);
  std::memcpy(&record, &newer, sizeof record);
  add(record);
  add(record);
  g_cupti->issue_resource(CUPTI_CBID_RESOURCE_CONTEXT_DESTROY_STARTING);
  CHECK(allocations().size() == 2 && allocations()[0].source == 0);
}

void what_is_unfinished_comes_at_exit() {
  open_fake_cupti();
  start_library();
  g_cupti->issue_resource(CUPTI_CBID_RESOURCE_CONTEXT_CREATED);
  add(kernel("late", 1, 2), false);
  Call{RUNTIME(cudaDeviceReset_v3020), nullptr}.make();
  CHECK(g_cupti->flushes(false) >= 1 && g_cupti->flushes(true) == 0);
  CHECK(fake_client().count(RecordType::kKernel) == 0);
  g_at_the_end = [] {
    CHECK(fake_client().count(RecordType::kKernel) == 1);
    CHECK(g_cupti->flushes(true) == 1);
    device_alloc(0x7000, 10);  // a static object's destructor, say
    CHECK(allocations().size() == 1);
  };
}

void devices_are_described() {
  CHECK(dlopen(std::getenv("TIDEMARK_TEST_LIBCUDA"), RTLD_NOW) != nullptr);
  open_fake_cupti();
  start_library();
  g_cupti->issue_resource(CUPTI_CBID_RESOURCE_CONTEXT_CREATED);
  g_at_the_end = [] {  // also for a program that ends before the first flush
    auto& meta = fake_client().meta;
    CHECK(meta["cuda.driver_version"] == "13.1");
    CHECK(meta["cuda.device_count"] == "2");
    CHECK(meta["cuda.device.0.name"] == "NVIDIA Test A");
    CHECK(meta["cuda.device.1.name"] == "NVIDIA Test B");
    CHECK(meta["cuda.device.0.total_memory_bytes"] == "85899345920");
    CHECK(meta["cuda.device.0.compute_capability"] == "9.0");
    CHECK(meta["cuda.device.0.pci_bus"] == "0000:ffff:1f.7");
    CHECK(meta.count("cuda.device.0.pcie_link") == 0);  // no such slot here
    CHECK(meta["cuda.cupti"] == "recording");
    CHECK(meta["cuda.cupti_path"].find("libfake_cupti.so") != std::string::npos);
  };
}

// --- what stands in the way ----------------------------------------------------------------------

void expect_declined(wire::Loss loss, const char* part_of_why) {
  CHECK(fake_client().loss(loss) == 1);
  CHECK(fake_client().losses.size() == 1);
  const std::string why = fake_client().meta["cuda.cupti"];
  if (why.find(part_of_why) == std::string::npos) std::fprintf(stderr, "why: %s\n", why.c_str());
  CHECK(why.find(part_of_why) != std::string::npos);
  CHECK(fake_client().records.empty());
}

void no_cupti() {
  setenv("TIDEMARK_CUPTI", "/nonexistent/libcupti.so.13", 1);
  start_library();
  expect_declined(wire::Loss::kCuptiUnavailable, "/nonexistent/libcupti.so.13");
}
void the_cupti_that_the_process_has_loaded_is_taken() {
  open_fake_cupti();  // its soname is libcupti.so.13
  unsetenv("TIDEMARK_CUPTI");
  start_library();
  CHECK(fake_client().meta["cuda.cupti_path"].find("libfake_cupti.so") != std::string::npos);
  CHECK(fake_client().meta["cuda.cupti"] == "recording");
}
void the_cupti_of_a_python_wheel_is_found() {
  const char* set = std::getenv("TIDEMARK_TEST_WHEELS");
  const std::string wheels = set != nullptr ? set : "";
  unsetenv("TIDEMARK_CUPTI");
  setenv("CUDA_HOME", "/nonexistent", 1);
  CHECK(dlopen((wheels + "/nvidia/cublas/lib/libcublas.so.12").c_str(), RTLD_NOW) != nullptr);
  start_library();
  char* found = realpath(fake_client().meta["cuda.cupti_path"].c_str(), nullptr);
  CHECK(found != nullptr && wheels + "/nvidia/cuda_cupti/lib/libcupti.so.12" == found);
  std::free(found);
  CHECK(fake_client().meta["cuda.cupti"] == "recording");
}
void a_library_that_is_not_cupti() {
  setenv("TIDEMARK_CUPTI", "libm.so.6", 1);
  start_library();
  expect_declined(wire::Loss::kCuptiUnavailable, "lacks cuptiGetVersion");
}
void cupti_too_old() {
  open_fake_cupti();
  g_cupti->set_version(18);
  start_library();
  expect_declined(wire::Loss::kCuptiUnavailable, "API version 18");
  CHECK(g_cupti->callbacks_enabled() == 0);
}
void another_tool_holds_the_subscription() {
  open_fake_cupti();
  g_cupti->set_subscriber(CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED, "CUPTI for Kineto");
  start_library();
  expect_declined(wire::Loss::kCuptiSubscriberTaken, "CUPTI for Kineto");
  CHECK(g_cupti->callbacks_enabled() == 0);
}
void cupti_refuses() {
  open_fake_cupti();
  g_cupti->set_subscriber(CUPTI_ERROR_NOT_INITIALIZED, "");
  start_library();
  expect_declined(wire::Loss::kCuptiUnavailable, "CUPTI_ERROR_NOT_INITIALIZED");
}
void without_activity_allocations_are_still_recorded() {
  open_fake_cupti();
  g_cupti->set_register_callbacks_result(CUPTI_ERROR_NOT_INITIALIZED);
  start_library();
  CHECK(fake_client().loss(wire::Loss::kCuptiUnavailable) == 1);
  CHECK(fake_client().meta["cuda.activity"].find("cuptiActivityRegisterCallbacks") == 0);
  device_alloc(0x7000, 10);
  CHECK(allocations().size() == 1);
}
void the_device_is_not_wanted() {
  open_fake_cupti();
  fake_client().arena->record_device = wire::Device::kOff;
  start_library();
  CHECK(g_cupti->callbacks_enabled() == 0);
  CHECK(fake_client().meta.empty() && fake_client().losses.empty());
}
// A launch goes to the driver without a callback and without a record.
void allocations_alone_leave_launches_alone() {
  open_fake_cupti();
  fake_client().arena->record_device = wire::Device::kMemory;
  fake_client().arena->record_access = 1;
  start_library();
  const cudaLaunchKernel_v7000_params launch{};
  const cudaMemcpyAsync_v3020_params copy{};
  Call{RUNTIME(cudaLaunchKernel_v7000), &launch}.make();
  Call{RUNTIME(cudaMemcpyAsync_v3020), &copy}.make();
  const uint32_t enabled = g_cupti->callbacks_enabled();
  for (const CUpti_ActivityKind kind :
       {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
        CUPTI_ACTIVITY_KIND_MEMCPY2, CUPTI_ACTIVITY_KIND_MEMSET}) {
    CHECK(!g_cupti->kind_enabled(kind));
  }
  CHECK(g_cupti->kind_enabled(CUPTI_ACTIVITY_KIND_MEMORY2));
  device_alloc(0x7000, 10);
  CHECK(allocations().size() == 1);
  CHECK(fake_client().count(RecordType::kLaunch) == 0 && enabled > 0);
  CHECK(fake_client().meta.count("cuda.access") == 0 && fake_client().losses.empty());
}
void nothing_is_recorded() {
  open_fake_cupti();
  fake_client().recording = false;
  start_library();
  CHECK(g_cupti->callbacks_enabled() == 0);
}
void cuda_after_fork_is_a_loss() {
  open_fake_cupti();
  start_library();
  device_alloc(0x7000, 10);
  const pid_t child = fork();
  if (child == 0) {
    fake_client().process_key = 43;
    for (int i = 0; i < 3; ++i) device_alloc(0x8000, 10);
    g_cupti->issue_resource(CUPTI_CBID_RESOURCE_CONTEXT_CREATED);
    CHECK(allocations().size() == 1);  // the parent's
    CHECK(fake_client().loss(wire::Loss::kCudaAfterFork) == 1);
    g_at_the_end = [] { CHECK(g_cupti->flushes(true) == 0); };
    std::exit(g_failures);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  device_alloc(0x9000, 10);
  CHECK(allocations().size() == 2 && fake_client().losses.empty());
}
void a_fatal_error_of_cupti_is_told() {
  open_fake_cupti();
  start_library();
  CHECK(g_cupti->issue_fatal_error("the device fell off the bus"));
  CHECK(fake_client().meta["cuda.cupti"] == "stopped: the device fell off the bus");
  CHECK(fake_client().loss(wire::Loss::kCuptiUnavailable) == 1);
  g_at_the_end = [] { CHECK(g_cupti->flushes(true) == 0); };
}

const Scenario kScenarios[] = {
#define SCENARIO(name) \
  { #name, name }
    SCENARIO(nested_calls_are_one_row_each),
    SCENARIO(failed_calls_leave_nothing_or_an_undo),
    SCENARIO(what_the_driver_refuses_is_out_of_memory),
    SCENARIO(ordered_pinned_and_managed_memory_say_so),
    SCENARIO(launches_say_who_asked_and_where),
    SCENARIO(physical_memory_is_counted_once),
    SCENARIO(a_call_under_way_at_the_start_is_told_by_its_nested_call),
    SCENARIO(threads_do_not_mix),
    SCENARIO(the_device_is_followed_with_cupti_13),
    SCENARIO(the_device_is_followed_with_cupti_12),
    SCENARIO(module_memory_is_published_and_nothing_twice),
    SCENARIO(an_older_cupti_has_no_sources),
    SCENARIO(what_is_unfinished_comes_at_exit),
    SCENARIO(devices_are_described),
    SCENARIO(no_cupti),
    SCENARIO(the_cupti_that_the_process_has_loaded_is_taken),
    SCENARIO(the_cupti_of_a_python_wheel_is_found),
    SCENARIO(a_library_that_is_not_cupti),
    SCENARIO(cupti_too_old),
    SCENARIO(another_tool_holds_the_subscription),
    SCENARIO(cupti_refuses),
    SCENARIO(without_activity_allocations_are_still_recorded),
    SCENARIO(the_device_is_not_wanted),
    SCENARIO(allocations_alone_leave_launches_alone),
    SCENARIO(nothing_is_recorded),
    SCENARIO(cuda_after_fork_is_a_loss),
    SCENARIO(a_fatal_error_of_cupti_is_told),
};

}  // namespace

int main(int argc, char** argv) { return run_scenario(kScenarios, argc, argv); }
