#include <cupti.h>  // brings the parameter structs

#include "call_table.h"
#include "calls.h"

namespace tidemark::cuda {

using wire::Api;
using wire::Space;

#define TIDEMARK_ID(name) CUPTI_DRIVER_TRACE_CBID_##name
#define TIDEMARK_ARGUMENTS(name) (*static_cast<const name##_params*>(params))

namespace {

// Newer than CUDA 12.0, whose headers may build this.
constexpr CUpti_CallbackId kMemcpyBatchAsync = 776;
constexpr CUpti_CallbackId kMemcpyBatchAsync_ptsz = 777;
constexpr CUpti_CallbackId kMemcpy3DBatchAsync = 778;
constexpr CUpti_CallbackId kMemcpy3DBatchAsync_ptsz = 779;
constexpr CUpti_CallbackId kMemcpyBatchAsync_v2 = 796;
constexpr CUpti_CallbackId kMemcpyBatchAsync_v2_ptsz = 797;
constexpr CUpti_CallbackId kMemcpy3DBatchAsync_v2 = 798;
constexpr CUpti_CallbackId kMemcpy3DBatchAsync_v2_ptsz = 799;
#if CUPTI_API_VERSION >= 130000
static_assert(kMemcpyBatchAsync == TIDEMARK_ID(cuMemcpyBatchAsync));
static_assert(kMemcpy3DBatchAsync_ptsz == TIDEMARK_ID(cuMemcpy3DBatchAsync_ptsz));
static_assert(kMemcpyBatchAsync_v2 == TIDEMARK_ID(cuMemcpyBatchAsync_v2));
static_assert(kMemcpy3DBatchAsync_v2_ptsz == TIDEMARK_ID(cuMemcpy3DBatchAsync_v2_ptsz));
#endif

constexpr CallInfo kLaunch = of_kind(CallKind::kLaunch);
constexpr CallInfo kCopy = of_kind(CallKind::kCopy);
constexpr CallInfo kSet = of_kind(CallKind::kSet);
constexpr CallInfo kTeardown = of_kind(CallKind::kTeardown);

// The forms from before CUDA 3.2 (32-bit device pointers) no program of today can call.
constexpr Hook kHooks[] = {
    {TIDEMARK_ID(cuMemAlloc_v2), alloc(Api::kCuMemAlloc, Space::kDevice)},
    {TIDEMARK_ID(cuMemAllocPitch_v2), alloc(Api::kCuMemAllocPitch, Space::kDevice)},
    {TIDEMARK_ID(cuMemAllocAsync), alloc(Api::kCuMemAllocAsync, Space::kDevice)},
    {TIDEMARK_ID(cuMemAllocAsync_ptsz), alloc(Api::kCuMemAllocAsync, Space::kDevice, true)},
    {TIDEMARK_ID(cuMemAllocFromPoolAsync), alloc(Api::kCuMemAllocFromPoolAsync, Space::kDevice)},
    {TIDEMARK_ID(cuMemAllocFromPoolAsync_ptsz),
     alloc(Api::kCuMemAllocFromPoolAsync, Space::kDevice, true)},
    {TIDEMARK_ID(cuMemAllocHost_v2), alloc(Api::kCuMemAllocHost, Space::kPinned)},
    {TIDEMARK_ID(cuMemHostAlloc), alloc(Api::kCuMemHostAlloc, Space::kPinned)},
    {TIDEMARK_ID(cuMemHostAlloc_v2), alloc(Api::kCuMemHostAlloc, Space::kPinned)},
    {TIDEMARK_ID(cuMemHostRegister), alloc(Api::kCuMemHostRegister, Space::kPinned)},
    {TIDEMARK_ID(cuMemHostRegister_v2), alloc(Api::kCuMemHostRegister, Space::kPinned)},
    {TIDEMARK_ID(cuMemAllocManaged), alloc(Api::kCuMemAllocManaged, Space::kManaged)},
    {TIDEMARK_ID(cuArrayCreate_v2), alloc(Api::kCuArrayCreate, Space::kDevice)},
    {TIDEMARK_ID(cuArray3DCreate_v2), alloc(Api::kCuArrayCreate, Space::kDevice)},
    {TIDEMARK_ID(cuMipmappedArrayCreate), alloc(Api::kCuArrayCreate, Space::kDevice)},

    {TIDEMARK_ID(cuMemFree_v2), free_of(Api::kCuMemFree)},
    {TIDEMARK_ID(cuMemFreeAsync), free_of(Api::kCuMemFreeAsync)},
    {TIDEMARK_ID(cuMemFreeAsync_ptsz), free_of(Api::kCuMemFreeAsync)},
    {TIDEMARK_ID(cuMemFreeHost), free_of(Api::kCuMemFreeHost)},
    {TIDEMARK_ID(cuMemHostUnregister), free_of(Api::kCuMemHostUnregister)},
    {TIDEMARK_ID(cuArrayDestroy), free_of(Api::kCuArrayDestroy)},
    {TIDEMARK_ID(cuMipmappedArrayDestroy), free_of(Api::kCuArrayDestroy)},

    {TIDEMARK_ID(cuMemCreate), of_kind(CallKind::kCreate, Api::kCuMemCreate)},
    {TIDEMARK_ID(cuMemRelease), of_kind(CallKind::kRelease, Api::kCuMemRelease)},
    {TIDEMARK_ID(cuMemMap), of_kind(CallKind::kMap, Api::kCuMemMap)},
    {TIDEMARK_ID(cuMemUnmap), of_kind(CallKind::kUnmap, Api::kCuMemUnmap)},
    {TIDEMARK_ID(cuMemRetainAllocationHandle), of_kind(CallKind::kRetain)},

    {TIDEMARK_ID(cuMemImportFromShareableHandle), of_kind(CallKind::kImportHandle)},
    {TIDEMARK_ID(cuIpcOpenMemHandle_v2), of_kind(CallKind::kImport, Api::kCuIpcOpenMemHandle)},
    {TIDEMARK_ID(cuIpcCloseMemHandle), of_kind(CallKind::kImportEnd, Api::kCuIpcCloseMemHandle)},

    {TIDEMARK_ID(cuLaunch), kLaunch},
    {TIDEMARK_ID(cuLaunchGrid), kLaunch},
    {TIDEMARK_ID(cuLaunchGridAsync), kLaunch},
    {TIDEMARK_ID(cuLaunchKernel), kLaunch},
    {TIDEMARK_ID(cuLaunchKernel_ptsz), kLaunch},
    {TIDEMARK_ID(cuLaunchKernelEx), kLaunch},
    {TIDEMARK_ID(cuLaunchKernelEx_ptsz), kLaunch},
    {TIDEMARK_ID(cuLaunchCooperativeKernel), kLaunch},
    {TIDEMARK_ID(cuLaunchCooperativeKernel_ptsz), kLaunch},
    {TIDEMARK_ID(cuLaunchCooperativeKernelMultiDevice), kLaunch},
    {TIDEMARK_ID(cuGraphAddKernelNode), kLaunch},  // launched later, as often as the graph is
    {TIDEMARK_ID(cuGraphAddKernelNode_v2), kLaunch},
    {TIDEMARK_ID(cuGraphLaunch), kLaunch},
    {TIDEMARK_ID(cuGraphLaunch_ptsz), kLaunch},

    {TIDEMARK_ID(cuMemcpy), kCopy},
    {TIDEMARK_ID(cuMemcpy_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpyAsync), kCopy},
    {TIDEMARK_ID(cuMemcpyAsync_ptsz), kCopy},
    {TIDEMARK_ID(cuMemcpyPeer), kCopy},
    {TIDEMARK_ID(cuMemcpyPeer_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpyPeerAsync), kCopy},
    {TIDEMARK_ID(cuMemcpyPeerAsync_ptsz), kCopy},
    {TIDEMARK_ID(cuMemcpyHtoD_v2), kCopy},
    {TIDEMARK_ID(cuMemcpyHtoD_v2_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpyHtoDAsync_v2), kCopy},
    {TIDEMARK_ID(cuMemcpyHtoDAsync_v2_ptsz), kCopy},
    {TIDEMARK_ID(cuMemcpyDtoH_v2), kCopy},
    {TIDEMARK_ID(cuMemcpyDtoH_v2_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpyDtoHAsync_v2), kCopy},
    {TIDEMARK_ID(cuMemcpyDtoHAsync_v2_ptsz), kCopy},
    {TIDEMARK_ID(cuMemcpyDtoD_v2), kCopy},
    {TIDEMARK_ID(cuMemcpyDtoD_v2_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpyDtoDAsync_v2), kCopy},
    {TIDEMARK_ID(cuMemcpyDtoDAsync_v2_ptsz), kCopy},
    {TIDEMARK_ID(cuMemcpyDtoA_v2), kCopy},
    {TIDEMARK_ID(cuMemcpyDtoA_v2_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpyAtoD_v2), kCopy},
    {TIDEMARK_ID(cuMemcpyAtoD_v2_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpyHtoA_v2), kCopy},
    {TIDEMARK_ID(cuMemcpyHtoA_v2_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpyHtoAAsync_v2), kCopy},
    {TIDEMARK_ID(cuMemcpyHtoAAsync_v2_ptsz), kCopy},
    {TIDEMARK_ID(cuMemcpyAtoH_v2), kCopy},
    {TIDEMARK_ID(cuMemcpyAtoH_v2_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpyAtoHAsync_v2), kCopy},
    {TIDEMARK_ID(cuMemcpyAtoHAsync_v2_ptsz), kCopy},
    {TIDEMARK_ID(cuMemcpyAtoA_v2), kCopy},
    {TIDEMARK_ID(cuMemcpyAtoA_v2_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpy2D_v2), kCopy},
    {TIDEMARK_ID(cuMemcpy2D_v2_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpy2DUnaligned_v2), kCopy},
    {TIDEMARK_ID(cuMemcpy2DUnaligned_v2_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpy2DAsync_v2), kCopy},
    {TIDEMARK_ID(cuMemcpy2DAsync_v2_ptsz), kCopy},
    {TIDEMARK_ID(cuMemcpy3D_v2), kCopy},
    {TIDEMARK_ID(cuMemcpy3D_v2_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpy3DAsync_v2), kCopy},
    {TIDEMARK_ID(cuMemcpy3DAsync_v2_ptsz), kCopy},
    {TIDEMARK_ID(cuMemcpy3DPeer), kCopy},
    {TIDEMARK_ID(cuMemcpy3DPeer_ptds), kCopy},
    {TIDEMARK_ID(cuMemcpy3DPeerAsync), kCopy},
    {TIDEMARK_ID(cuMemcpy3DPeerAsync_ptsz), kCopy},
    {kMemcpyBatchAsync, kCopy},
    {kMemcpyBatchAsync_ptsz, kCopy},
    {kMemcpy3DBatchAsync, kCopy},
    {kMemcpy3DBatchAsync_ptsz, kCopy},
    {kMemcpyBatchAsync_v2, kCopy},
    {kMemcpyBatchAsync_v2_ptsz, kCopy},
    {kMemcpy3DBatchAsync_v2, kCopy},
    {kMemcpy3DBatchAsync_v2_ptsz, kCopy},

    {TIDEMARK_ID(cuMemsetD8_v2), kSet},
    {TIDEMARK_ID(cuMemsetD8_v2_ptds), kSet},
    {TIDEMARK_ID(cuMemsetD8Async), kSet},
    {TIDEMARK_ID(cuMemsetD8Async_ptsz), kSet},
    {TIDEMARK_ID(cuMemsetD16_v2), kSet},
    {TIDEMARK_ID(cuMemsetD16_v2_ptds), kSet},
    {TIDEMARK_ID(cuMemsetD16Async), kSet},
    {TIDEMARK_ID(cuMemsetD16Async_ptsz), kSet},
    {TIDEMARK_ID(cuMemsetD32_v2), kSet},
    {TIDEMARK_ID(cuMemsetD32_v2_ptds), kSet},
    {TIDEMARK_ID(cuMemsetD32Async), kSet},
    {TIDEMARK_ID(cuMemsetD32Async_ptsz), kSet},
    {TIDEMARK_ID(cuMemsetD2D8_v2), kSet},
    {TIDEMARK_ID(cuMemsetD2D8_v2_ptds), kSet},
    {TIDEMARK_ID(cuMemsetD2D8Async), kSet},
    {TIDEMARK_ID(cuMemsetD2D8Async_ptsz), kSet},
    {TIDEMARK_ID(cuMemsetD2D16_v2), kSet},
    {TIDEMARK_ID(cuMemsetD2D16_v2_ptds), kSet},
    {TIDEMARK_ID(cuMemsetD2D16Async), kSet},
    {TIDEMARK_ID(cuMemsetD2D16Async_ptsz), kSet},
    {TIDEMARK_ID(cuMemsetD2D32_v2), kSet},
    {TIDEMARK_ID(cuMemsetD2D32_v2_ptds), kSet},
    {TIDEMARK_ID(cuMemsetD2D32Async), kSet},
    {TIDEMARK_ID(cuMemsetD2D32Async_ptsz), kSet},

    {TIDEMARK_ID(cuCtxDestroy_v2), kTeardown},
    {TIDEMARK_ID(cuDevicePrimaryCtxReset), kTeardown},
    {TIDEMARK_ID(cuDevicePrimaryCtxReset_v2), kTeardown},
};
constexpr auto kCalls = by_id<kDriverIds>(kHooks);

template <class Copy>  // CUDA_MEMCPY2D, CUDA_MEMCPY3D and CUDA_MEMCPY3D_PEER name these alike
Moved moved_block(const Copy* copy) {
  if (copy == nullptr) return {};
  const auto side = [](CUmemorytype type, const void* host, CUdeviceptr device, CUarray array) {
    if (type == CU_MEMORYTYPE_HOST) return address_of(host);
    return type == CU_MEMORYTYPE_ARRAY ? address_of(array) : static_cast<uint64_t>(device);
  };
  return {side(copy->srcMemoryType, copy->srcHost, copy->srcDevice, copy->srcArray),
          side(copy->dstMemoryType, copy->dstHost, copy->dstDevice, copy->dstArray)};
}

Moved copied(CUpti_CallbackId id, const void* params) {
  switch (id) {
    case TIDEMARK_ID(cuMemcpy):
    case TIDEMARK_ID(cuMemcpy_ptds):
    case TIDEMARK_ID(cuMemcpyAsync):
    case TIDEMARK_ID(cuMemcpyAsync_ptsz): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemcpy);  // …Async has the stream behind these
      return {a.src, a.dst};
    }
    case TIDEMARK_ID(cuMemcpyPeer):
    case TIDEMARK_ID(cuMemcpyPeer_ptds):
    case TIDEMARK_ID(cuMemcpyPeerAsync):
    case TIDEMARK_ID(cuMemcpyPeerAsync_ptsz): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemcpyPeer);
      return {a.srcDevice, a.dstDevice};
    }
    case TIDEMARK_ID(cuMemcpyHtoD_v2):
    case TIDEMARK_ID(cuMemcpyHtoD_v2_ptds):
    case TIDEMARK_ID(cuMemcpyHtoDAsync_v2):
    case TIDEMARK_ID(cuMemcpyHtoDAsync_v2_ptsz): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemcpyHtoD_v2);
      return {address_of(a.srcHost), a.dstDevice};
    }
    case TIDEMARK_ID(cuMemcpyDtoH_v2):
    case TIDEMARK_ID(cuMemcpyDtoH_v2_ptds):
    case TIDEMARK_ID(cuMemcpyDtoHAsync_v2):
    case TIDEMARK_ID(cuMemcpyDtoHAsync_v2_ptsz): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemcpyDtoH_v2);
      return {a.srcDevice, address_of(a.dstHost)};
    }
    case TIDEMARK_ID(cuMemcpyDtoD_v2):
    case TIDEMARK_ID(cuMemcpyDtoD_v2_ptds):
    case TIDEMARK_ID(cuMemcpyDtoDAsync_v2):
    case TIDEMARK_ID(cuMemcpyDtoDAsync_v2_ptsz): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemcpyDtoD_v2);
      return {a.srcDevice, a.dstDevice};
    }
    case TIDEMARK_ID(cuMemcpyDtoA_v2):
    case TIDEMARK_ID(cuMemcpyDtoA_v2_ptds): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemcpyDtoA_v2);
      return {a.srcDevice, address_of(a.dstArray)};
    }
    case TIDEMARK_ID(cuMemcpyAtoD_v2):
    case TIDEMARK_ID(cuMemcpyAtoD_v2_ptds): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemcpyAtoD_v2);
      return {address_of(a.srcArray), a.dstDevice};
    }
    case TIDEMARK_ID(cuMemcpyHtoA_v2):
    case TIDEMARK_ID(cuMemcpyHtoA_v2_ptds):
    case TIDEMARK_ID(cuMemcpyHtoAAsync_v2):
    case TIDEMARK_ID(cuMemcpyHtoAAsync_v2_ptsz): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemcpyHtoA_v2);
      return {address_of(a.srcHost), address_of(a.dstArray)};
    }
    case TIDEMARK_ID(cuMemcpyAtoH_v2):
    case TIDEMARK_ID(cuMemcpyAtoH_v2_ptds):
    case TIDEMARK_ID(cuMemcpyAtoHAsync_v2):
    case TIDEMARK_ID(cuMemcpyAtoHAsync_v2_ptsz): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemcpyAtoH_v2);
      return {address_of(a.srcArray), address_of(a.dstHost)};
    }
    case TIDEMARK_ID(cuMemcpyAtoA_v2):
    case TIDEMARK_ID(cuMemcpyAtoA_v2_ptds): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemcpyAtoA_v2);
      return {address_of(a.srcArray), address_of(a.dstArray)};
    }
    case TIDEMARK_ID(cuMemcpy2D_v2):
    case TIDEMARK_ID(cuMemcpy2D_v2_ptds):
    case TIDEMARK_ID(cuMemcpy2DUnaligned_v2):
    case TIDEMARK_ID(cuMemcpy2DUnaligned_v2_ptds):
    case TIDEMARK_ID(cuMemcpy2DAsync_v2):
    case TIDEMARK_ID(cuMemcpy2DAsync_v2_ptsz):
      return moved_block(TIDEMARK_ARGUMENTS(cuMemcpy2D_v2).pCopy);
    case TIDEMARK_ID(cuMemcpy3D_v2):
    case TIDEMARK_ID(cuMemcpy3D_v2_ptds):
    case TIDEMARK_ID(cuMemcpy3DAsync_v2):
    case TIDEMARK_ID(cuMemcpy3DAsync_v2_ptsz):
      return moved_block(TIDEMARK_ARGUMENTS(cuMemcpy3D_v2).pCopy);
    case TIDEMARK_ID(cuMemcpy3DPeer):
    case TIDEMARK_ID(cuMemcpy3DPeer_ptds):
    case TIDEMARK_ID(cuMemcpy3DPeerAsync):
    case TIDEMARK_ID(cuMemcpy3DPeerAsync_ptsz):
      return moved_block(TIDEMARK_ARGUMENTS(cuMemcpy3DPeer).pCopy);
    default:  // batches: many addresses; the launch says only who asked
      return {};
  }
}

}  // namespace

CallInfo driver_call(CUpti_CallbackId id) { return id < kDriverIds ? kCalls[id] : CallInfo{}; }

Allocated driver_allocated(CUpti_CallbackId id, const void* params) {
  switch (id) {
    case TIDEMARK_ID(cuMemAlloc_v2): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemAlloc_v2);
      return {address_at(a.dptr), a.bytesize, false, nullptr};
    }
    case TIDEMARK_ID(cuMemAllocPitch_v2): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemAllocPitch_v2);
      const size_t pitch = a.pPitch != nullptr ? *a.pPitch : a.WidthInBytes;
      return {address_at(a.dptr), pitch * a.Height, false, nullptr};
    }
    case TIDEMARK_ID(cuMemAllocAsync):
    case TIDEMARK_ID(cuMemAllocAsync_ptsz): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemAllocAsync);
      return {address_at(a.dptr), a.bytesize, true, a.hStream};
    }
    case TIDEMARK_ID(cuMemAllocFromPoolAsync):
    case TIDEMARK_ID(cuMemAllocFromPoolAsync_ptsz): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemAllocFromPoolAsync);
      return {address_at(a.dptr), a.bytesize, true, a.hStream};
    }
    case TIDEMARK_ID(cuMemAllocHost_v2): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemAllocHost_v2);
      return {address_at(a.pp), a.bytesize, false, nullptr};
    }
    case TIDEMARK_ID(cuMemHostAlloc):
    case TIDEMARK_ID(cuMemHostAlloc_v2): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemHostAlloc);
      return {address_at(a.pp), a.bytesize, false, nullptr};
    }
    case TIDEMARK_ID(cuMemHostRegister):
    case TIDEMARK_ID(cuMemHostRegister_v2): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemHostRegister_v2);
      return {address_of(a.p), a.bytesize, false, nullptr};
    }
    case TIDEMARK_ID(cuMemAllocManaged): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemAllocManaged);
      return {address_at(a.dptr), a.bytesize, false, nullptr};
    }
    case TIDEMARK_ID(cuArrayCreate_v2): {
      const auto& a = TIDEMARK_ARGUMENTS(cuArrayCreate_v2);
      const auto* d = a.pAllocateArray;
      if (d == nullptr) return {};
      return {address_at(a.pHandle),
              array_bytes(d->Width, d->Height, 0, bits_per_texel(d->Format, d->NumChannels), 1),
              false, nullptr};
    }
    case TIDEMARK_ID(cuArray3DCreate_v2): {
      const auto& a = TIDEMARK_ARGUMENTS(cuArray3DCreate_v2);
      const auto* d = a.pAllocateArray;
      if (d == nullptr) return {};
      return {
          address_at(a.pHandle),
          array_bytes(d->Width, d->Height, d->Depth, bits_per_texel(d->Format, d->NumChannels), 1),
          false, nullptr};
    }
    case TIDEMARK_ID(cuMipmappedArrayCreate): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMipmappedArrayCreate);
      const auto* d = a.pMipmappedArrayDesc;
      if (d == nullptr) return {};
      return {address_at(a.pHandle),
              array_bytes(d->Width, d->Height, d->Depth, bits_per_texel(d->Format, d->NumChannels),
                          a.numMipmapLevels),
              false, nullptr};
    }
    case TIDEMARK_ID(cuMemCreate): {
      const auto& a = TIDEMARK_ARGUMENTS(cuMemCreate);
      return {a.handle != nullptr ? *a.handle : 0, a.size, false, nullptr};
    }
    default:
      return {};
  }
}

uint64_t driver_requested(CUpti_CallbackId id, const void* params) {
  if (id == TIDEMARK_ID(cuMemAllocPitch_v2)) {
    const auto& a = TIDEMARK_ARGUMENTS(cuMemAllocPitch_v2);
    return a.WidthInBytes * a.Height;
  }
  return driver_allocated(id, params).size;
}

uint64_t driver_imported(CUpti_CallbackId id, const void* params) {
  switch (id) {
    case TIDEMARK_ID(cuIpcOpenMemHandle_v2):
      return address_at(TIDEMARK_ARGUMENTS(cuIpcOpenMemHandle_v2).pdptr);
    case TIDEMARK_ID(cuIpcCloseMemHandle):
      return TIDEMARK_ARGUMENTS(cuIpcCloseMemHandle).dptr;
    default:
      return 0;
  }
}

uint64_t driver_freed(CUpti_CallbackId id, const void* params) {
  switch (id) {
    case TIDEMARK_ID(cuMemFree_v2):
      return TIDEMARK_ARGUMENTS(cuMemFree_v2).dptr;
    case TIDEMARK_ID(cuMemFreeAsync):
    case TIDEMARK_ID(cuMemFreeAsync_ptsz):
      return TIDEMARK_ARGUMENTS(cuMemFreeAsync).dptr;
    case TIDEMARK_ID(cuMemFreeHost):
      return address_of(TIDEMARK_ARGUMENTS(cuMemFreeHost).p);
    case TIDEMARK_ID(cuMemHostUnregister):
      return address_of(TIDEMARK_ARGUMENTS(cuMemHostUnregister).p);
    case TIDEMARK_ID(cuArrayDestroy):
      return address_of(TIDEMARK_ARGUMENTS(cuArrayDestroy).hArray);
    case TIDEMARK_ID(cuMipmappedArrayDestroy):
      return address_of(TIDEMARK_ARGUMENTS(cuMipmappedArrayDestroy).hMipmappedArray);
    default:
      return 0;
  }
}

Moved driver_moved(CUpti_CallbackId id, const void* params) {
  if (driver_call(id).kind == CallKind::kCopy) return copied(id, params);
  if (driver_call(id).kind != CallKind::kSet) return {};
  // Every set begins with the address that it writes.
  static_assert(offsetof(cuMemsetD8_v2_params, dstDevice) == 0 &&
                offsetof(cuMemsetD16_v2_params, dstDevice) == 0 &&
                offsetof(cuMemsetD32_v2_params, dstDevice) == 0 &&
                offsetof(cuMemsetD2D8_v2_params, dstDevice) == 0 &&
                offsetof(cuMemsetD2D16_v2_params, dstDevice) == 0 &&
                offsetof(cuMemsetD2D32_v2_params, dstDevice) == 0 &&
                offsetof(cuMemsetD8Async_params, dstDevice) == 0 &&
                offsetof(cuMemsetD2D32Async_params, dstDevice) == 0);
  return {0, TIDEMARK_ARGUMENTS(cuMemsetD8_v2).dstDevice};
}

Placed placed(const CUmemAllocationProp& properties) {
  constexpr int kManagedMemory = 2;  // CU_MEM_ALLOCATION_TYPE_MANAGED, since CUDA 13.0
  const bool on_device = properties.location.type == CU_MEM_LOCATION_TYPE_DEVICE;
  Placed result;
  result.space = on_device ? Space::kDevice : Space::kPinned;
  if (static_cast<int>(properties.type) == kManagedMemory) result.space = Space::kManaged;
  if (on_device && properties.location.id >= 0 && properties.location.id <= INT16_MAX) {
    result.device = static_cast<int16_t>(properties.location.id);
  }
  return result;
}

Placed created_place(const void* params) {
  const CUmemAllocationProp* properties = TIDEMARK_ARGUMENTS(cuMemCreate).prop;
  return properties != nullptr ? placed(*properties) : Placed{};
}

uint64_t released_handle(const void* params) { return TIDEMARK_ARGUMENTS(cuMemRelease).handle; }

uint64_t retained_handle(const void* params) {
  const auto& a = TIDEMARK_ARGUMENTS(cuMemRetainAllocationHandle);
  return a.handle != nullptr ? *a.handle : 0;
}

uint64_t imported_handle(const void* params) {
  const auto& a = TIDEMARK_ARGUMENTS(cuMemImportFromShareableHandle);
  return a.handle != nullptr ? *a.handle : 0;
}

Mapped mapped_range(const void* params) {
  const auto& a = TIDEMARK_ARGUMENTS(cuMemMap);
  return {a.ptr, a.size, a.handle};
}

Mapped unmapped_range(const void* params) {
  const auto& a = TIDEMARK_ARGUMENTS(cuMemUnmap);
  return {a.ptr, a.size, 0};
}

uint64_t array_bytes(size_t width, size_t height, size_t depth, uint32_t bits, uint32_t levels) {
  uint64_t texels = 0;
  for (uint32_t level = 0; level < levels && level < 32; ++level) {
    const auto side = [level](size_t texels_of_side) -> uint64_t {
      const uint64_t halved = texels_of_side >> level;
      return halved != 0 ? halved : 1;  // a side of 0 is one that the array does not have
    };
    texels += side(width) * side(height) * side(depth);
  }
  return (texels * bits + 7) / 8;
}

uint32_t bits_per_texel(uint32_t format, uint32_t channels) {
  // Formats of CUarray_format; by number, since the list grows with every release.
  if (format == CU_AD_FORMAT_UNSIGNED_INT8 || format == CU_AD_FORMAT_SIGNED_INT8) {
    return 8 * channels;
  }
  if (format == CU_AD_FORMAT_UNSIGNED_INT16 || format == CU_AD_FORMAT_SIGNED_INT16 ||
      format == CU_AD_FORMAT_HALF) {
    return 16 * channels;
  }
  if (format == CU_AD_FORMAT_UNSIGNED_INT32 || format == CU_AD_FORMAT_SIGNED_INT32 ||
      format == CU_AD_FORMAT_FLOAT) {
    return 32 * channels;
  }
  if (format >= 0xc0 && format <= 0xcb) {  // {unorm, snorm} × {8, 16 bit} × {1, 2, 4 channels}
    constexpr uint32_t kBits[] = {8, 16, 32, 16, 32, 64};
    return kBits[(format - 0xc0) % 6];
  }
  switch (format) {
    case 0x91:  // BC1: 8 bytes for 4 × 4 texels
    case 0x92:
    case 0x95:  // BC4
    case 0x96:
      return 4;
    case 0xb0:  // NV12, planar 4:2:0
      return 12;
    case 0x9f:  // P010, P016
    case 0xa1:
    case 0xb2:  // three planes of 8 bits
    case 0xb4:
      return 24;
    case 0xa2:  // NV16, YUY2
    case 0xa5:
      return 16;
    case 0xb3:  // three planes of 10 and 16 bits
    case 0xb5:
      return 48;
    case 0xa3:  // P210, P216, Y210, Y216, AYUV, Y410, 10:10:10:2
    case 0xa4:
    case 0xa6:
    case 0xa7:
    case 0xa8:
    case 0xa9:
    case 0x50:
      return 32;
    case 0xb1:  // Y416
      return 64;
    default:
      break;
  }
  if (format >= 0x93 && format <= 0x9e) return 8;  // BC2 to BC7: 16 bytes for 4 × 4 texels
  return 8 * channels;                             // a format of a later release: no less than this
}

}  // namespace tidemark::cuda
