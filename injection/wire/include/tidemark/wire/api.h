// The text of wire enums, as the trace stores it. Part of the trace's stable contract.
#pragma once

#include <cstddef>

#include "tidemark/wire/layout.h"
#include "tidemark/wire/records.h"

namespace tidemark::wire {

constexpr const char* api_name(Api api) {
  constexpr const char* kNames[] = {
      "unknown",
      "malloc",
      "calloc",
      "realloc",
      "reallocarray",
      "free",
      "posix_memalign",
      "aligned_alloc",
      "memalign",
      "valloc",
      "pvalloc",
      "operator new",
      "operator new[]",
      "operator new(align)",
      "operator new[](align)",
      "operator delete",
      "operator delete[]",
      "mmap",
      "munmap",
      "mremap",
      "c10",
      "cudaMalloc",
      "cudaMallocPitch",
      "cudaMalloc3D",
      "cudaMallocArray",
      "cudaMallocAsync",
      "cudaMallocFromPoolAsync",
      "cudaMallocHost",
      "cudaHostAlloc",
      "cudaHostRegister",
      "cudaMallocManaged",
      "cudaFree",
      "cudaFreeAsync",
      "cudaFreeHost",
      "cudaHostUnregister",
      "cudaFreeArray",
      "cuMemAlloc",
      "cuMemAllocPitch",
      "cuMemAllocAsync",
      "cuMemAllocFromPoolAsync",
      "cuMemAllocHost",
      "cuMemHostAlloc",
      "cuMemHostRegister",
      "cuMemAllocManaged",
      "cuArrayCreate",
      "cuMemFree",
      "cuMemFreeAsync",
      "cuMemFreeHost",
      "cuMemHostUnregister",
      "cuArrayDestroy",
      "cuMemCreate",
      "cuMemRelease",
      "cuMemMap",
      "cuMemUnmap",
      "cuda module",
      "cudaIpcOpenMemHandle",
      "cudaIpcCloseMemHandle",
      "cuIpcOpenMemHandle",
      "cuIpcCloseMemHandle",
      "cuMemImportFromShareableHandle",
  };
  static_assert(sizeof(kNames) / sizeof(*kNames) == static_cast<size_t>(Api::kCount));
  return api < Api::kCount ? kNames[static_cast<size_t>(api)] : "unknown";
}

// Whether an allocation's address is one that a kernel could be handed: arrays and physical memory
// are known by handles.
constexpr bool has_address(Api api) {
  return api != Api::kCudaMallocArray && api != Api::kCuArrayCreate && api != Api::kCuMemCreate;
}

constexpr const char* layer_name(Layer layer) {
  constexpr const char* kNames[] = {"os", "heap", "driver", "pool"};
  return static_cast<uint8_t>(layer) < 4 ? kNames[static_cast<uint8_t>(layer)] : "unknown";
}

constexpr const char* space_name(Space space) {
  constexpr const char* kNames[] = {"host", "pinned", "managed", "device"};
  return static_cast<uint8_t>(space) < 4 ? kNames[static_cast<uint8_t>(space)] : "unknown";
}

constexpr const char* transfer_kind_name(TransferKind kind) {
  constexpr const char* kNames[] = {"HtoD", "DtoH", "DtoD", "PtoP", "HtoH"};
  return static_cast<uint8_t>(kind) < 5 ? kNames[static_cast<uint8_t>(kind)] : "unknown";
}

struct LossText {
  const char* name;
  const char* severity;  // info | data_loss | error
};
constexpr LossText loss_text(Loss loss) {
  constexpr LossText kTexts[] = {
      {"events_dropped_ring_full", "data_loss"},
      {"events_dropped_no_ring", "data_loss"},
      {"stacks_truncated", "info"},
      {"stacks_incomplete", "info"},
      {"stack_table_full", "info"},
      {"cupti_records_dropped", "data_loss"},
      {"cupti_unknown_records", "data_loss"},
      {"cupti_unavailable", "error"},
      {"cupti_subscriber_taken", "error"},
      {"cuda_used_after_fork", "error"},
      {"events_dropped_reentrant", "data_loss"},
      {"torn_records", "data_loss"},
      {"python_unsupported", "info"},
      {"processes_not_recorded", "error"},
      {"allocators_not_hooked", "error"},
      {"kernel_arguments_unknown", "data_loss"},
      {"access_unavailable", "info"},
      {"kernels_outside_window", "info"},
      {"copies_outside_window", "info"},
      {"sets_outside_window", "info"},
      {"cupti_kept_from_program", "error"},
      {"migrations_unavailable", "info"},
  };
  static_assert(sizeof(kTexts) / sizeof(*kTexts) == static_cast<size_t>(Loss::kCount));
  return kTexts[static_cast<size_t>(loss)];
}

}  // namespace tidemark::wire
