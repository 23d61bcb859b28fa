// What the arguments of CUDA calls say, with the parameter structs of the real headers.
#include <gtest/gtest.h>

#include "calls.h"

namespace tidemark::cuda {
namespace {

#define RUNTIME(name) CUPTI_RUNTIME_TRACE_CBID_##name
#define DRIVER(name) CUPTI_DRIVER_TRACE_CBID_##name

void* pointer(uint64_t address) { return reinterpret_cast<void*>(address); }

TEST(CudaCalls, every_recorded_id_is_known_to_the_headers) {
  int runtime = 0;
  int driver = 0;
  for (CUpti_CallbackId id = 0; id < kRuntimeIds; ++id)
    runtime += runtime_call(id).kind != CallKind::kNone;
  for (CUpti_CallbackId id = 0; id < kDriverIds; ++id)
    driver += driver_call(id).kind != CallKind::kNone;
  EXPECT_GT(runtime, 80);
  EXPECT_GT(driver, 90);
  EXPECT_LT(CUPTI_RUNTIME_TRACE_CBID_SIZE, kRuntimeIds);
  EXPECT_LT(CUPTI_DRIVER_TRACE_CBID_SIZE, kDriverIds);
  EXPECT_EQ(runtime_call(kRuntimeIds).kind, CallKind::kNone);
  EXPECT_EQ(driver_call(~0U).kind, CallKind::kNone);
}

TEST(CudaCalls, allocations_know_their_space_and_api) {
  EXPECT_EQ(runtime_call(RUNTIME(cudaMalloc_v3020)).api, wire::Api::kCudaMalloc);
  EXPECT_EQ(runtime_call(RUNTIME(cudaMalloc_v3020)).space, wire::Space::kDevice);
  EXPECT_EQ(runtime_call(RUNTIME(cudaHostAlloc_v3020)).space, wire::Space::kPinned);
  EXPECT_EQ(runtime_call(RUNTIME(cudaHostRegister_v4000)).space, wire::Space::kPinned);
  EXPECT_EQ(runtime_call(RUNTIME(cudaMallocManaged_v6000)).space, wire::Space::kManaged);
  EXPECT_TRUE(runtime_call(RUNTIME(cudaMallocAsync_ptsz_v11020)).per_thread_stream);
  EXPECT_EQ(driver_call(DRIVER(cuMemAllocManaged)).space, wire::Space::kManaged);
  EXPECT_EQ(driver_call(DRIVER(cuMemHostAlloc)).api, wire::Api::kCuMemHostAlloc);
  EXPECT_EQ(driver_call(DRIVER(cuMemCreate)).kind, CallKind::kCreate);
  EXPECT_EQ(runtime_call(RUNTIME(cudaDeviceSynchronize_v3020)).kind, CallKind::kNone);
}

TEST(CudaCalls, cudaMalloc_gives_address_and_size) {
  void* result = pointer(0x7000);
  const cudaMalloc_v3020_params params{&result, 100};
  const Allocated got = runtime_allocated(RUNTIME(cudaMalloc_v3020), &params);
  EXPECT_EQ(got.address, 0x7000U);
  EXPECT_EQ(got.size, 100U);
  EXPECT_FALSE(got.ordered);
}

TEST(CudaCalls, pitched_allocations_are_as_large_as_their_rows) {
  void* result = pointer(0x7000);
  size_t pitch = 512;
  const cudaMallocPitch_v3020_params params{&result, &pitch, 100, 30};
  EXPECT_EQ(runtime_allocated(RUNTIME(cudaMallocPitch_v3020), &params).size, 512U * 30);

  cudaPitchedPtr pitched{pointer(0x8000), 1024, 100, 4};
  const cudaMalloc3D_v3020_params params_3d{&pitched, {100, 4, 5}};
  const Allocated got = runtime_allocated(RUNTIME(cudaMalloc3D_v3020), &params_3d);
  EXPECT_EQ(got.address, 0x8000U);
  EXPECT_EQ(got.size, 1024U * 4 * 5);

  CUdeviceptr device = 0x9000;
  const cuMemAllocPitch_v2_params driver{&device, &pitch, 100, 3, 4};
  EXPECT_EQ(driver_allocated(DRIVER(cuMemAllocPitch_v2), &driver).size, 512U * 3);
}

TEST(CudaCalls, arrays_are_as_large_as_their_texels) {
  cudaArray_t array = reinterpret_cast<cudaArray_t>(0x1234);
  const cudaChannelFormatDesc float4{32, 32, 32, 32, cudaChannelFormatKindFloat};
  const cudaMallocArray_v3020_params one{&array, &float4, 64, 0, 0};
  EXPECT_EQ(runtime_allocated(RUNTIME(cudaMallocArray_v3020), &one).size, 64U * 16);
  EXPECT_EQ(runtime_allocated(RUNTIME(cudaMallocArray_v3020), &one).address, 0x1234U);
  const cudaMalloc3DArray_v3020_params three{&array, &float4, {8, 4, 2}, 0};
  EXPECT_EQ(runtime_allocated(RUNTIME(cudaMalloc3DArray_v3020), &three).size, 8U * 4 * 2 * 16);
  cudaMipmappedArray_t mipmapped = reinterpret_cast<cudaMipmappedArray_t>(0x99);
  const cudaMallocMipmappedArray_v5000_params levels{&mipmapped, &float4, {8, 8, 0}, 3, 0};
  EXPECT_EQ(runtime_allocated(RUNTIME(cudaMallocMipmappedArray_v5000), &levels).size,
            (64U + 16 + 4) * 16);

  CUarray driver_array = reinterpret_cast<CUarray>(0x55);
  const CUDA_ARRAY_DESCRIPTOR desc{16, 2, CU_AD_FORMAT_HALF, 2};
  const cuArrayCreate_v2_params driver{&driver_array, &desc};
  EXPECT_EQ(driver_allocated(DRIVER(cuArrayCreate_v2), &driver).size, 16U * 2 * 4);
  EXPECT_EQ(bits_per_texel(0x91, 4), 4U) << "BC1";
  EXPECT_EQ(bits_per_texel(0xc8, 4), 32U) << "SNORM_INT8X4";
  EXPECT_EQ(bits_per_texel(0xcb, 4), 64U) << "SNORM_INT16X4";
}

TEST(CudaCalls, ordered_allocations_name_their_stream) {
  void* result = pointer(0x7000);
  cudaStream_t stream = reinterpret_cast<cudaStream_t>(0x33);
  const cudaMallocAsync_ptsz_v11020_params params{&result, 64, stream};
  const Allocated got = runtime_allocated(RUNTIME(cudaMallocAsync_ptsz_v11020), &params);
  EXPECT_TRUE(got.ordered);
  EXPECT_EQ(got.stream, stream);
  const cudaMallocFromPoolAsync_v11020_params pool{&result, 65, nullptr, stream};
  EXPECT_EQ(runtime_allocated(RUNTIME(cudaMallocFromPoolAsync_v11020), &pool).size, 65U);
  CUdeviceptr device = 0x9000;
  const cuMemAllocFromPoolAsync_params driver{&device, 66, nullptr, stream};
  EXPECT_EQ(driver_allocated(DRIVER(cuMemAllocFromPoolAsync), &driver).stream, stream);
}

TEST(CudaCalls, host_memory_that_is_registered_keeps_its_address) {
  const cudaHostRegister_v4000_params params{pointer(0xabc000), 4096, 0};
  EXPECT_EQ(runtime_allocated(RUNTIME(cudaHostRegister_v4000), &params).address, 0xabc000U);
  const cuMemHostRegister_v2_params driver{pointer(0xdef000), 8192, 0};
  EXPECT_EQ(driver_allocated(DRIVER(cuMemHostRegister_v2), &driver).size, 8192U);
}

TEST(CudaCalls, frees_name_what_they_free) {
  const cudaFree_v3020_params plain{pointer(0x1)};
  EXPECT_EQ(runtime_freed(RUNTIME(cudaFree_v3020), &plain), 1U);
  const cudaFreeAsync_v11020_params async{pointer(0x2), nullptr};
  EXPECT_EQ(runtime_freed(RUNTIME(cudaFreeAsync_ptsz_v11020), &async), 2U);
  const cudaFreeHost_v3020_params host{pointer(0x3)};
  EXPECT_EQ(runtime_freed(RUNTIME(cudaFreeHost_v3020), &host), 3U);
  const cudaHostUnregister_v4000_params unregistered{pointer(0x4)};
  EXPECT_EQ(runtime_freed(RUNTIME(cudaHostUnregister_v4000), &unregistered), 4U);
  const cudaFreeArray_v3020_params array{reinterpret_cast<cudaArray_t>(0x5)};
  EXPECT_EQ(runtime_freed(RUNTIME(cudaFreeArray_v3020), &array), 5U);
  const cuMemFree_v2_params driver{6};
  EXPECT_EQ(driver_freed(DRIVER(cuMemFree_v2), &driver), 6U);
  const cuMemFreeAsync_ptsz_params driver_async{7, nullptr};
  EXPECT_EQ(driver_freed(DRIVER(cuMemFreeAsync_ptsz), &driver_async), 7U);
  const cuMemFreeHost_params driver_host{pointer(8)};
  EXPECT_EQ(driver_freed(DRIVER(cuMemFreeHost), &driver_host), 8U);
}

TEST(CudaCalls, memory_of_other_processes_is_where_it_was_opened) {
  void* opened = pointer(0x1);
  const cudaIpcOpenMemHandle_v4010_params open{&opened, {}, 0};
  EXPECT_EQ(runtime_call(RUNTIME(cudaIpcOpenMemHandle_v4010)).kind, CallKind::kImport);
  EXPECT_EQ(runtime_imported(RUNTIME(cudaIpcOpenMemHandle_v4010), &open), 1U);
  const cudaIpcCloseMemHandle_v4010_params close{pointer(0x2)};
  EXPECT_EQ(runtime_call(RUNTIME(cudaIpcCloseMemHandle_v4010)).kind, CallKind::kImportEnd);
  EXPECT_EQ(runtime_imported(RUNTIME(cudaIpcCloseMemHandle_v4010), &close), 2U);
  EXPECT_EQ(runtime_imported(RUNTIME(cudaMalloc_v3020), &close), 0U);

  CUdeviceptr address = 3;
  const cuIpcOpenMemHandle_v2_params driver_open{&address, {}, 0};
  EXPECT_EQ(driver_call(DRIVER(cuIpcOpenMemHandle_v2)).kind, CallKind::kImport);
  EXPECT_EQ(driver_imported(DRIVER(cuIpcOpenMemHandle_v2), &driver_open), 3U);
  const cuIpcCloseMemHandle_params driver_close{4};
  EXPECT_EQ(driver_call(DRIVER(cuIpcCloseMemHandle)).api, wire::Api::kCuIpcCloseMemHandle);
  EXPECT_EQ(driver_imported(DRIVER(cuIpcCloseMemHandle), &driver_close), 4U);
  const cuIpcOpenMemHandle_v2_params nowhere{nullptr, {}, 0};
  EXPECT_EQ(driver_imported(DRIVER(cuIpcOpenMemHandle_v2), &nowhere), 0U);
}

TEST(CudaCalls, every_free_that_is_recorded_can_be_read) {
  const uint64_t words[8] = {0x42, 0, 0, 0, 0, 0, 0, 0};
  for (CUpti_CallbackId id = 0; id < kRuntimeIds; ++id) {
    if (runtime_call(id).kind == CallKind::kFree) {
      EXPECT_EQ(runtime_freed(id, words), 0x42U) << id;
    }
  }
  for (CUpti_CallbackId id = 0; id < kDriverIds; ++id) {
    if (driver_call(id).kind == CallKind::kFree) {
      EXPECT_EQ(driver_freed(id, words), 0x42U) << id;
    }
  }
}

TEST(CudaCalls, copies_name_both_sides) {
  const cudaMemcpyAsync_v3020_params plain{pointer(2), pointer(1), 10, cudaMemcpyHostToDevice,
                                           nullptr};
  const Moved moved = runtime_moved(RUNTIME(cudaMemcpyAsync_v3020), &plain);
  EXPECT_EQ(moved.src, 1U);
  EXPECT_EQ(moved.dst, 2U);

  cudaMemcpy3DParms block{};
  block.srcPtr.ptr = pointer(3);
  block.dstArray = reinterpret_cast<cudaArray_t>(4);
  const cudaMemcpy3DAsync_ptsz_v7000_params in_3d{&block, nullptr};
  EXPECT_EQ(runtime_moved(RUNTIME(cudaMemcpy3DAsync_ptsz_v7000), &in_3d).src, 3U);
  EXPECT_EQ(runtime_moved(RUNTIME(cudaMemcpy3DAsync_ptsz_v7000), &in_3d).dst, 4U);

  const cudaMemcpyPeerAsync_v4000_params peer{pointer(6), 1, pointer(5), 0, 10, nullptr};
  EXPECT_EQ(runtime_moved(RUNTIME(cudaMemcpyPeerAsync_v4000), &peer).src, 5U);

  const cuMemcpyHtoDAsync_v2_params to_device{8, pointer(7), 10, nullptr};
  EXPECT_EQ(driver_moved(DRIVER(cuMemcpyHtoDAsync_v2), &to_device).src, 7U);
  EXPECT_EQ(driver_moved(DRIVER(cuMemcpyHtoDAsync_v2), &to_device).dst, 8U);
  const cuMemcpyAsync_params unified{10, 9, 1, nullptr};
  EXPECT_EQ(driver_moved(DRIVER(cuMemcpyAsync), &unified).src, 9U);
  const cuMemcpyPeerAsync_params driver_peer{12, nullptr, 11, nullptr, 1, nullptr};
  EXPECT_EQ(driver_moved(DRIVER(cuMemcpyPeerAsync), &driver_peer).src, 11U);
  EXPECT_EQ(driver_moved(DRIVER(cuMemcpyPeerAsync), &driver_peer).dst, 12U);

  CUDA_MEMCPY2D flat{};
  flat.srcMemoryType = CU_MEMORYTYPE_HOST;
  flat.srcHost = pointer(13);
  flat.srcDevice = 99;
  flat.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  flat.dstArray = reinterpret_cast<CUarray>(14);
  const cuMemcpy2DAsync_v2_params in_2d{&flat, nullptr};
  EXPECT_EQ(driver_moved(DRIVER(cuMemcpy2DAsync_v2), &in_2d).src, 13U);
  EXPECT_EQ(driver_moved(DRIVER(cuMemcpy2DAsync_v2), &in_2d).dst, 14U);
  const cuMemcpy2D_v2_params none{nullptr};
  EXPECT_EQ(driver_moved(DRIVER(cuMemcpy2D_v2), &none).dst, 0U) << "the call will fail, not we";
}

TEST(CudaCalls, sets_name_what_they_write) {
  const cudaMemset2DAsync_v3020_params plain{pointer(1), 512, 0, 10, 10, nullptr};
  EXPECT_EQ(runtime_moved(RUNTIME(cudaMemset2DAsync_v3020), &plain).dst, 1U);
  const cudaMemset3D_v3020_params block{{pointer(2), 1, 1, 1}, 0, {1, 1, 1}};
  EXPECT_EQ(runtime_moved(RUNTIME(cudaMemset3D_v3020), &block).dst, 2U);
  const cuMemsetD32Async_params driver{3, 0, 10, nullptr};
  EXPECT_EQ(driver_moved(DRIVER(cuMemsetD32Async), &driver).dst, 3U);
  EXPECT_EQ(driver_moved(DRIVER(cuMemsetD32Async), &driver).src, 0U);
}

TEST(CudaCalls, physical_memory_knows_its_device) {
  CUmemAllocationProp prop{};
  prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  prop.location.id = 3;
  EXPECT_EQ(placed(prop).device, 3);
  EXPECT_EQ(placed(prop).space, wire::Space::kDevice);
  prop.location.type = static_cast<CUmemLocationType>(3);  // a host NUMA node
  EXPECT_EQ(placed(prop).device, -1);
  EXPECT_EQ(placed(prop).space, wire::Space::kPinned);
}

}  // namespace
}  // namespace tidemark::cuda
