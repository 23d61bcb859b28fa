// Which CUDA API calls are recorded, and what their arguments say: pure functions over the
// parameter structs of generated_cuda_runtime_api_meta.h and generated_cuda_meta.h.
//
// A callback id is fixed for ever once NVIDIA has given it out, so ids that are newer than the
// headers of this build are written as numbers; an older CUPTI refuses them, which costs nothing.
#pragma once

#include <cupti.h>

#include <cstddef>
#include <cstdint>

#include "tidemark/wire/records.h"

namespace tidemark::cuda {

enum class CallKind : uint8_t {
  kNone,          // not ours
  kAlloc,         // published after it succeeded
  kFree,          // published before it is made, undone when it fails
  kLaunch,        // kernels and graphs: who asked, and what kernels are handed
  kCopy,          // who asked, from where, to where
  kSet,           // who asked, where
  kCreate,        // cuMemCreate: physical memory. See physical.h for these five
  kRelease,       // cuMemRelease
  kMap,           // cuMemMap
  kUnmap,         // cuMemUnmap
  kRetain,        // cuMemRetainAllocationHandle
  kImportHandle,  // cuMemImportFromShareableHandle
  kImport,        // another process's memory is opened: published after it succeeded
  kImportEnd,     // and closed: likewise
  kTeardown,      // ends a context: what CUPTI still holds has to be fetched before
};

// Calls that are only of interest with the work that they give to the device.
constexpr bool gives_work(CallKind kind) {
  return kind == CallKind::kLaunch || kind == CallKind::kCopy || kind == CallKind::kSet;
}

struct CallInfo {
  CallKind kind = CallKind::kNone;
  bool per_thread_stream = false;  // the …_ptsz and …_ptds forms: stream 0 is the thread's own
  wire::Space space = wire::Space::kDevice;
  wire::Api api = wire::Api::kUnknown;
};

// kNone for every id that is not recorded.
CallInfo runtime_call(CUpti_CallbackId id);
CallInfo driver_call(CUpti_CallbackId id);
// Ids lie below these.
inline constexpr CUpti_CallbackId kRuntimeIds = 640;
inline constexpr CUpti_CallbackId kDriverIds = 960;

// What an allocation call returned. Only to be decoded after it has succeeded.
struct Allocated {
  uint64_t address = 0;  // an array's handle; 0: nothing was allocated (size 0)
  uint64_t size = 0;     // bytes asked for; pitch × rows where the driver chose the pitch
  bool ordered = false;  // by a stream
  CUstream stream = nullptr;
};
Allocated runtime_allocated(CUpti_CallbackId id, const void* params);
Allocated driver_allocated(CUpti_CallbackId id, const void* params);
// Bytes that an allocation call asks for, whatever came of it. Of a pitch that the driver would
// have chosen nothing is known.
uint64_t runtime_requested(CUpti_CallbackId id, const void* params);
uint64_t driver_requested(CUpti_CallbackId id, const void* params);

// Where another process's memory is: of an opening call after it has succeeded, of a closing one.
uint64_t runtime_imported(CUpti_CallbackId id, const void* params);
uint64_t driver_imported(CUpti_CallbackId id, const void* params);

// What a free call is about to free; 0: nothing.
uint64_t runtime_freed(CUpti_CallbackId id, const void* params);
uint64_t driver_freed(CUpti_CallbackId id, const void* params);

// Copies: both. Sets: dst. 0 where the call does not say (symbols, batches).
struct Moved {
  uint64_t src = 0;
  uint64_t dst = 0;
};
Moved runtime_moved(CUpti_CallbackId id, const void* params);
Moved driver_moved(CUpti_CallbackId id, const void* params);

// Virtual memory management (driver only).
struct Placed {  // where the memory of cuMemCreate lies; device is -1 for host memory
  wire::Space space = wire::Space::kDevice;
  int16_t device = -1;
};
Placed placed(const CUmemAllocationProp& properties);
struct Mapped {
  uint64_t address = 0;
  uint64_t bytes = 0;
  uint64_t handle = 0;  // of unmapped ranges: 0
};
Placed created_place(const void* params);      // cuMemCreate
uint64_t released_handle(const void* params);  // cuMemRelease
uint64_t retained_handle(const void* params);  // cuMemRetainAllocationHandle, after success
uint64_t imported_handle(const void* params);  // cuMemImportFromShareableHandle, after success
Mapped mapped_range(const void* params);       // cuMemMap
Mapped unmapped_range(const void* params);     // cuMemUnmap

// Bytes of an array: what its texels take without the driver's padding, over all levels.
uint64_t array_bytes(size_t width, size_t height, size_t depth, uint32_t bits, uint32_t levels);
uint32_t bits_per_texel(uint32_t format, uint32_t channels);

}  // namespace tidemark::cuda
