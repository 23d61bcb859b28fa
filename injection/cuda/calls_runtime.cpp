#include <cupti.h>  // brings the parameter structs

#include "call_table.h"
#include "calls.h"

namespace tidemark::cuda {

using wire::Api;
using wire::Space;

#define TIDEMARK_ID(name) CUPTI_RUNTIME_TRACE_CBID_##name
#define TIDEMARK_ARGUMENTS(name) (*static_cast<const name##_params*>(params))

namespace {

// Newer than CUDA 12.0, whose headers may build this.
constexpr CUpti_CallbackId kMemcpyBatchAsync_v12080 = 482;
constexpr CUpti_CallbackId kMemcpyBatchAsync_ptsz_v12080 = 483;
constexpr CUpti_CallbackId kMemcpy3DBatchAsync_v12080 = 484;
constexpr CUpti_CallbackId kMemcpy3DBatchAsync_ptsz_v12080 = 485;
constexpr CUpti_CallbackId kLaunchKernelDirect_v13000 =
    505;  // __cudaLaunchKernel: what <<<…>>> compiles to since 13.0
constexpr CUpti_CallbackId kLaunchKernelDirect_ptsz_v13000 = 506;
constexpr CUpti_CallbackId kMemcpyBatchAsync_v13000 = 509;
constexpr CUpti_CallbackId kMemcpyBatchAsync_ptsz_v13000 = 510;
constexpr CUpti_CallbackId kMemcpy3DBatchAsync_v13000 = 511;
constexpr CUpti_CallbackId kMemcpy3DBatchAsync_ptsz_v13000 = 512;
#if CUPTI_API_VERSION >= 130000
static_assert(kMemcpyBatchAsync_v12080 == TIDEMARK_ID(cudaMemcpyBatchAsync_v12080));
static_assert(kMemcpy3DBatchAsync_ptsz_v12080 == TIDEMARK_ID(cudaMemcpy3DBatchAsync_ptsz_v12080));
static_assert(kLaunchKernelDirect_v13000 == TIDEMARK_ID(__cudaLaunchKernel_v13000));
static_assert(kLaunchKernelDirect_ptsz_v13000 == TIDEMARK_ID(__cudaLaunchKernel_ptsz_v13000));
static_assert(kMemcpyBatchAsync_v13000 == TIDEMARK_ID(cudaMemcpyBatchAsync_v13000));
static_assert(kMemcpy3DBatchAsync_ptsz_v13000 == TIDEMARK_ID(cudaMemcpy3DBatchAsync_ptsz_v13000));
#endif

constexpr CallInfo kLaunch = of_kind(CallKind::kLaunch);
constexpr CallInfo kCopy = of_kind(CallKind::kCopy);
constexpr CallInfo kSet = of_kind(CallKind::kSet);

constexpr Hook kHooks[] = {
    {TIDEMARK_ID(cudaMalloc_v3020), alloc(Api::kCudaMalloc, Space::kDevice)},
    {TIDEMARK_ID(cudaMallocPitch_v3020), alloc(Api::kCudaMallocPitch, Space::kDevice)},
    {TIDEMARK_ID(cudaMalloc3D_v3020), alloc(Api::kCudaMalloc3D, Space::kDevice)},
    {TIDEMARK_ID(cudaMallocArray_v3020), alloc(Api::kCudaMallocArray, Space::kDevice)},
    {TIDEMARK_ID(cudaMalloc3DArray_v3020), alloc(Api::kCudaMallocArray, Space::kDevice)},
    {TIDEMARK_ID(cudaMallocMipmappedArray_v5000), alloc(Api::kCudaMallocArray, Space::kDevice)},
    {TIDEMARK_ID(cudaMallocAsync_v11020), alloc(Api::kCudaMallocAsync, Space::kDevice)},
    {TIDEMARK_ID(cudaMallocAsync_ptsz_v11020), alloc(Api::kCudaMallocAsync, Space::kDevice, true)},
    {TIDEMARK_ID(cudaMallocFromPoolAsync_v11020),
     alloc(Api::kCudaMallocFromPoolAsync, Space::kDevice)},
    {TIDEMARK_ID(cudaMallocFromPoolAsync_ptsz_v11020),
     alloc(Api::kCudaMallocFromPoolAsync, Space::kDevice, true)},
    {TIDEMARK_ID(cudaMallocHost_v3020), alloc(Api::kCudaMallocHost, Space::kPinned)},
    {TIDEMARK_ID(cudaHostAlloc_v3020), alloc(Api::kCudaHostAlloc, Space::kPinned)},
    {TIDEMARK_ID(cudaHostRegister_v4000), alloc(Api::kCudaHostRegister, Space::kPinned)},
    {TIDEMARK_ID(cudaMallocManaged_v6000), alloc(Api::kCudaMallocManaged, Space::kManaged)},

    {TIDEMARK_ID(cudaIpcOpenMemHandle_v4010),
     of_kind(CallKind::kImport, Api::kCudaIpcOpenMemHandle)},
    {TIDEMARK_ID(cudaIpcCloseMemHandle_v4010),
     of_kind(CallKind::kImportEnd, Api::kCudaIpcCloseMemHandle)},

    {TIDEMARK_ID(cudaFree_v3020), free_of(Api::kCudaFree)},
    {TIDEMARK_ID(cudaFreeAsync_v11020), free_of(Api::kCudaFreeAsync)},
    {TIDEMARK_ID(cudaFreeAsync_ptsz_v11020), free_of(Api::kCudaFreeAsync)},
    {TIDEMARK_ID(cudaFreeHost_v3020), free_of(Api::kCudaFreeHost)},
    {TIDEMARK_ID(cudaHostUnregister_v4000), free_of(Api::kCudaHostUnregister)},
    {TIDEMARK_ID(cudaFreeArray_v3020), free_of(Api::kCudaFreeArray)},
    {TIDEMARK_ID(cudaFreeMipmappedArray_v5000), free_of(Api::kCudaFreeArray)},

    {TIDEMARK_ID(cudaLaunch_v3020), kLaunch},
    {TIDEMARK_ID(cudaLaunch_ptsz_v7000), kLaunch},
    {TIDEMARK_ID(cudaLaunchKernel_v7000), kLaunch},
    {TIDEMARK_ID(cudaLaunchKernel_ptsz_v7000), kLaunch},
    {TIDEMARK_ID(cudaLaunchKernelExC_v11060), kLaunch},
    {TIDEMARK_ID(cudaLaunchKernelExC_ptsz_v11060), kLaunch},
    {kLaunchKernelDirect_v13000, kLaunch},
    {kLaunchKernelDirect_ptsz_v13000, kLaunch},
    {TIDEMARK_ID(cudaLaunchCooperativeKernel_v9000), kLaunch},
    {TIDEMARK_ID(cudaLaunchCooperativeKernel_ptsz_v9000), kLaunch},
    {TIDEMARK_ID(cudaLaunchCooperativeKernelMultiDevice_v9000), kLaunch},
    {TIDEMARK_ID(cudaGraphLaunch_v10000), kLaunch},
    {TIDEMARK_ID(cudaGraphLaunch_ptsz_v10000), kLaunch},

    {TIDEMARK_ID(cudaMemcpy_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpy_ptds_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpyAsync_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpyAsync_ptsz_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpy2D_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpy2D_ptds_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpy2DAsync_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpy2DAsync_ptsz_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpy3D_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpy3D_ptds_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpy3DAsync_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpy3DAsync_ptsz_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpyPeer_v4000), kCopy},
    {TIDEMARK_ID(cudaMemcpyPeerAsync_v4000), kCopy},
    {TIDEMARK_ID(cudaMemcpy3DPeer_v4000), kCopy},
    {TIDEMARK_ID(cudaMemcpy3DPeer_ptds_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpy3DPeerAsync_v4000), kCopy},
    {TIDEMARK_ID(cudaMemcpy3DPeerAsync_ptsz_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpyToArray_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpyToArray_ptds_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpyToArrayAsync_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpyToArrayAsync_ptsz_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpyFromArray_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpyFromArray_ptds_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpyFromArrayAsync_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpyFromArrayAsync_ptsz_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpyArrayToArray_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpyArrayToArray_ptds_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpy2DToArray_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpy2DToArray_ptds_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpy2DToArrayAsync_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpy2DToArrayAsync_ptsz_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpy2DFromArray_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpy2DFromArray_ptds_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpy2DFromArrayAsync_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpy2DFromArrayAsync_ptsz_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpy2DArrayToArray_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpy2DArrayToArray_ptds_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpyToSymbol_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpyToSymbol_ptds_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpyToSymbolAsync_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpyToSymbolAsync_ptsz_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpyFromSymbol_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpyFromSymbol_ptds_v7000), kCopy},
    {TIDEMARK_ID(cudaMemcpyFromSymbolAsync_v3020), kCopy},
    {TIDEMARK_ID(cudaMemcpyFromSymbolAsync_ptsz_v7000), kCopy},
    {kMemcpyBatchAsync_v12080, kCopy},
    {kMemcpyBatchAsync_ptsz_v12080, kCopy},
    {kMemcpy3DBatchAsync_v12080, kCopy},
    {kMemcpy3DBatchAsync_ptsz_v12080, kCopy},
    {kMemcpyBatchAsync_v13000, kCopy},
    {kMemcpyBatchAsync_ptsz_v13000, kCopy},
    {kMemcpy3DBatchAsync_v13000, kCopy},
    {kMemcpy3DBatchAsync_ptsz_v13000, kCopy},

    {TIDEMARK_ID(cudaMemset_v3020), kSet},
    {TIDEMARK_ID(cudaMemset_ptds_v7000), kSet},
    {TIDEMARK_ID(cudaMemsetAsync_v3020), kSet},
    {TIDEMARK_ID(cudaMemsetAsync_ptsz_v7000), kSet},
    {TIDEMARK_ID(cudaMemset2D_v3020), kSet},
    {TIDEMARK_ID(cudaMemset2D_ptds_v7000), kSet},
    {TIDEMARK_ID(cudaMemset2DAsync_v3020), kSet},
    {TIDEMARK_ID(cudaMemset2DAsync_ptsz_v7000), kSet},
    {TIDEMARK_ID(cudaMemset3D_v3020), kSet},
    {TIDEMARK_ID(cudaMemset3D_ptds_v7000), kSet},
    {TIDEMARK_ID(cudaMemset3DAsync_v3020), kSet},
    {TIDEMARK_ID(cudaMemset3DAsync_ptsz_v7000), kSet},

    {TIDEMARK_ID(cudaDeviceReset_v3020), of_kind(CallKind::kTeardown)},
};
constexpr auto kCalls = by_id<kRuntimeIds>(kHooks);

uint32_t texel_bits(const cudaChannelFormatDesc* desc) {
  if (desc == nullptr) return 0;
  return static_cast<uint32_t>(desc->x + desc->y + desc->z + desc->w);
}

Moved moved_3d(const cudaMemcpy3DParms* p) {
  if (p == nullptr) return {};
  return {p->srcArray != nullptr ? address_of(p->srcArray) : address_of(p->srcPtr.ptr),
          p->dstArray != nullptr ? address_of(p->dstArray) : address_of(p->dstPtr.ptr)};
}
Moved moved_3d_peer(const cudaMemcpy3DPeerParms* p) {
  if (p == nullptr) return {};
  return {p->srcArray != nullptr ? address_of(p->srcArray) : address_of(p->srcPtr.ptr),
          p->dstArray != nullptr ? address_of(p->dstArray) : address_of(p->dstPtr.ptr)};
}

template <class Arguments>
Moved both(const Arguments& arguments) {
  return {address_of(arguments.src), address_of(arguments.dst)};
}

}  // namespace

CallInfo runtime_call(CUpti_CallbackId id) { return id < kRuntimeIds ? kCalls[id] : CallInfo{}; }

Allocated runtime_allocated(CUpti_CallbackId id, const void* params) {
  switch (id) {
    case TIDEMARK_ID(cudaMalloc_v3020): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaMalloc_v3020);
      return {address_at(a.devPtr), a.size, false, nullptr};
    }
    case TIDEMARK_ID(cudaMallocPitch_v3020): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaMallocPitch_v3020);
      const size_t pitch = a.pitch != nullptr ? *a.pitch : a.width;
      return {address_at(a.devPtr), pitch * a.height, false, nullptr};
    }
    case TIDEMARK_ID(cudaMalloc3D_v3020): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaMalloc3D_v3020);
      if (a.pitchedDevPtr == nullptr) return {};
      return {address_of(a.pitchedDevPtr->ptr),
              a.pitchedDevPtr->pitch * a.extent.height * a.extent.depth, false, nullptr};
    }
    case TIDEMARK_ID(cudaMallocArray_v3020): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaMallocArray_v3020);
      return {address_at(a.array), array_bytes(a.width, a.height, 0, texel_bits(a.desc), 1), false,
              nullptr};
    }
    case TIDEMARK_ID(cudaMalloc3DArray_v3020): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaMalloc3DArray_v3020);
      return {address_at(a.array),
              array_bytes(a.extent.width, a.extent.height, a.extent.depth, texel_bits(a.desc), 1),
              false, nullptr};
    }
    case TIDEMARK_ID(cudaMallocMipmappedArray_v5000): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaMallocMipmappedArray_v5000);
      return {address_at(a.mipmappedArray),
              array_bytes(a.extent.width, a.extent.height, a.extent.depth, texel_bits(a.desc),
                          a.numLevels),
              false, nullptr};
    }
    case TIDEMARK_ID(cudaMallocAsync_v11020):
    case TIDEMARK_ID(cudaMallocAsync_ptsz_v11020): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaMallocAsync_v11020);
      return {address_at(a.devPtr), a.size, true, a.hStream};
    }
    case TIDEMARK_ID(cudaMallocFromPoolAsync_v11020):
    case TIDEMARK_ID(cudaMallocFromPoolAsync_ptsz_v11020): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaMallocFromPoolAsync_v11020);
      return {address_at(a.ptr), a.size, true, a.stream};
    }
    case TIDEMARK_ID(cudaMallocHost_v3020): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaMallocHost_v3020);
      return {address_at(a.ptr), a.size, false, nullptr};
    }
    case TIDEMARK_ID(cudaHostAlloc_v3020): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaHostAlloc_v3020);
      return {address_at(a.pHost), a.size, false, nullptr};
    }
    case TIDEMARK_ID(cudaHostRegister_v4000): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaHostRegister_v4000);
      return {address_of(a.ptr), a.size, false, nullptr};
    }
    case TIDEMARK_ID(cudaMallocManaged_v6000): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaMallocManaged_v6000);
      return {address_at(a.devPtr), a.size, false, nullptr};
    }
    default:
      return {};
  }
}

uint64_t runtime_requested(CUpti_CallbackId id, const void* params) {
  switch (id) {
    case TIDEMARK_ID(cudaMallocPitch_v3020): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaMallocPitch_v3020);
      return a.width * a.height;
    }
    case TIDEMARK_ID(cudaMalloc3D_v3020): {
      const auto& a = TIDEMARK_ARGUMENTS(cudaMalloc3D_v3020);
      return a.extent.width * a.extent.height * a.extent.depth;
    }
    default:
      return runtime_allocated(id, params).size;
  }
}

uint64_t runtime_imported(CUpti_CallbackId id, const void* params) {
  switch (id) {
    case TIDEMARK_ID(cudaIpcOpenMemHandle_v4010):
      return address_at(TIDEMARK_ARGUMENTS(cudaIpcOpenMemHandle_v4010).devPtr);
    case TIDEMARK_ID(cudaIpcCloseMemHandle_v4010):
      return address_of(TIDEMARK_ARGUMENTS(cudaIpcCloseMemHandle_v4010).devPtr);
    default:
      return 0;
  }
}

uint64_t runtime_freed(CUpti_CallbackId id, const void* params) {
  switch (id) {
    case TIDEMARK_ID(cudaFree_v3020):
      return address_of(TIDEMARK_ARGUMENTS(cudaFree_v3020).devPtr);
    case TIDEMARK_ID(cudaFreeAsync_v11020):
    case TIDEMARK_ID(cudaFreeAsync_ptsz_v11020):
      return address_of(TIDEMARK_ARGUMENTS(cudaFreeAsync_v11020).devPtr);
    case TIDEMARK_ID(cudaFreeHost_v3020):
      return address_of(TIDEMARK_ARGUMENTS(cudaFreeHost_v3020).ptr);
    case TIDEMARK_ID(cudaHostUnregister_v4000):
      return address_of(TIDEMARK_ARGUMENTS(cudaHostUnregister_v4000).ptr);
    case TIDEMARK_ID(cudaFreeArray_v3020):
      return address_of(TIDEMARK_ARGUMENTS(cudaFreeArray_v3020).array);
    case TIDEMARK_ID(cudaFreeMipmappedArray_v5000):
      return address_of(TIDEMARK_ARGUMENTS(cudaFreeMipmappedArray_v5000).mipmappedArray);
    default:
      return 0;
  }
}

// The …_ptds and …_ptsz forms have the same parameters as the plain ones.
Moved runtime_moved(CUpti_CallbackId id, const void* params) {
  switch (id) {
    case TIDEMARK_ID(cudaMemcpy_v3020):
    case TIDEMARK_ID(cudaMemcpy_ptds_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpy_v3020));
    case TIDEMARK_ID(cudaMemcpyAsync_v3020):
    case TIDEMARK_ID(cudaMemcpyAsync_ptsz_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpyAsync_v3020));
    case TIDEMARK_ID(cudaMemcpy2D_v3020):
    case TIDEMARK_ID(cudaMemcpy2D_ptds_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpy2D_v3020));
    case TIDEMARK_ID(cudaMemcpy2DAsync_v3020):
    case TIDEMARK_ID(cudaMemcpy2DAsync_ptsz_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpy2DAsync_v3020));
    case TIDEMARK_ID(cudaMemcpy3D_v3020):
    case TIDEMARK_ID(cudaMemcpy3D_ptds_v7000):
      return moved_3d(TIDEMARK_ARGUMENTS(cudaMemcpy3D_v3020).p);
    case TIDEMARK_ID(cudaMemcpy3DAsync_v3020):
    case TIDEMARK_ID(cudaMemcpy3DAsync_ptsz_v7000):
      return moved_3d(TIDEMARK_ARGUMENTS(cudaMemcpy3DAsync_v3020).p);
    case TIDEMARK_ID(cudaMemcpyPeer_v4000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpyPeer_v4000));
    case TIDEMARK_ID(cudaMemcpyPeerAsync_v4000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpyPeerAsync_v4000));
    case TIDEMARK_ID(cudaMemcpy3DPeer_v4000):
    case TIDEMARK_ID(cudaMemcpy3DPeer_ptds_v7000):
      return moved_3d_peer(TIDEMARK_ARGUMENTS(cudaMemcpy3DPeer_v4000).p);
    case TIDEMARK_ID(cudaMemcpy3DPeerAsync_v4000):
    case TIDEMARK_ID(cudaMemcpy3DPeerAsync_ptsz_v7000):
      return moved_3d_peer(TIDEMARK_ARGUMENTS(cudaMemcpy3DPeerAsync_v4000).p);
    case TIDEMARK_ID(cudaMemcpyToArray_v3020):
    case TIDEMARK_ID(cudaMemcpyToArray_ptds_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpyToArray_v3020));
    case TIDEMARK_ID(cudaMemcpyToArrayAsync_v3020):
    case TIDEMARK_ID(cudaMemcpyToArrayAsync_ptsz_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpyToArrayAsync_v3020));
    case TIDEMARK_ID(cudaMemcpyFromArray_v3020):
    case TIDEMARK_ID(cudaMemcpyFromArray_ptds_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpyFromArray_v3020));
    case TIDEMARK_ID(cudaMemcpyFromArrayAsync_v3020):
    case TIDEMARK_ID(cudaMemcpyFromArrayAsync_ptsz_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpyFromArrayAsync_v3020));
    case TIDEMARK_ID(cudaMemcpyArrayToArray_v3020):
    case TIDEMARK_ID(cudaMemcpyArrayToArray_ptds_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpyArrayToArray_v3020));
    case TIDEMARK_ID(cudaMemcpy2DToArray_v3020):
    case TIDEMARK_ID(cudaMemcpy2DToArray_ptds_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpy2DToArray_v3020));
    case TIDEMARK_ID(cudaMemcpy2DToArrayAsync_v3020):
    case TIDEMARK_ID(cudaMemcpy2DToArrayAsync_ptsz_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpy2DToArrayAsync_v3020));
    case TIDEMARK_ID(cudaMemcpy2DFromArray_v3020):
    case TIDEMARK_ID(cudaMemcpy2DFromArray_ptds_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpy2DFromArray_v3020));
    case TIDEMARK_ID(cudaMemcpy2DFromArrayAsync_v3020):
    case TIDEMARK_ID(cudaMemcpy2DFromArrayAsync_ptsz_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpy2DFromArrayAsync_v3020));
    case TIDEMARK_ID(cudaMemcpy2DArrayToArray_v3020):
    case TIDEMARK_ID(cudaMemcpy2DArrayToArray_ptds_v7000):
      return both(TIDEMARK_ARGUMENTS(cudaMemcpy2DArrayToArray_v3020));
    // A symbol is the address of a host variable, not of the memory that is moved.
    case TIDEMARK_ID(cudaMemcpyToSymbol_v3020):
    case TIDEMARK_ID(cudaMemcpyToSymbol_ptds_v7000):
      return {address_of(TIDEMARK_ARGUMENTS(cudaMemcpyToSymbol_v3020).src), 0};
    case TIDEMARK_ID(cudaMemcpyToSymbolAsync_v3020):
    case TIDEMARK_ID(cudaMemcpyToSymbolAsync_ptsz_v7000):
      return {address_of(TIDEMARK_ARGUMENTS(cudaMemcpyToSymbolAsync_v3020).src), 0};
    case TIDEMARK_ID(cudaMemcpyFromSymbol_v3020):
    case TIDEMARK_ID(cudaMemcpyFromSymbol_ptds_v7000):
      return {0, address_of(TIDEMARK_ARGUMENTS(cudaMemcpyFromSymbol_v3020).dst)};
    case TIDEMARK_ID(cudaMemcpyFromSymbolAsync_v3020):
    case TIDEMARK_ID(cudaMemcpyFromSymbolAsync_ptsz_v7000):
      return {0, address_of(TIDEMARK_ARGUMENTS(cudaMemcpyFromSymbolAsync_v3020).dst)};
    case TIDEMARK_ID(cudaMemset_v3020):
    case TIDEMARK_ID(cudaMemset_ptds_v7000):
      return {0, address_of(TIDEMARK_ARGUMENTS(cudaMemset_v3020).devPtr)};
    case TIDEMARK_ID(cudaMemsetAsync_v3020):
    case TIDEMARK_ID(cudaMemsetAsync_ptsz_v7000):
      return {0, address_of(TIDEMARK_ARGUMENTS(cudaMemsetAsync_v3020).devPtr)};
    case TIDEMARK_ID(cudaMemset2D_v3020):
    case TIDEMARK_ID(cudaMemset2D_ptds_v7000):
      return {0, address_of(TIDEMARK_ARGUMENTS(cudaMemset2D_v3020).devPtr)};
    case TIDEMARK_ID(cudaMemset2DAsync_v3020):
    case TIDEMARK_ID(cudaMemset2DAsync_ptsz_v7000):
      return {0, address_of(TIDEMARK_ARGUMENTS(cudaMemset2DAsync_v3020).devPtr)};
    case TIDEMARK_ID(cudaMemset3D_v3020):
    case TIDEMARK_ID(cudaMemset3D_ptds_v7000):
      return {0, address_of(TIDEMARK_ARGUMENTS(cudaMemset3D_v3020).pitchedDevPtr.ptr)};
    case TIDEMARK_ID(cudaMemset3DAsync_v3020):
    case TIDEMARK_ID(cudaMemset3DAsync_ptsz_v7000):
      return {0, address_of(TIDEMARK_ARGUMENTS(cudaMemset3DAsync_v3020).pitchedDevPtr.ptr)};
    default:  // batches: many addresses; the launch says only who asked
      return {};
  }
}

}  // namespace tidemark::cuda
