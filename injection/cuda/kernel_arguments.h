// Where the arguments of the kernels of one driver call lie: pure functions over the parameter
// structs of generated_cuda_meta.h. A launch through the runtime passes through such a call, and
// only that one names the kernel by the handle that the driver knows (the runtime's is the address
// of a stub).
#pragma once

#include <cupti.h>

#include <cstddef>
#include <cstdint>

namespace tidemark::cuda {

// One of the two is set: an array with a pointer to each parameter, or key and value pairs that
// name one buffer with all of them.
struct KernelArguments {
  CUfunction function = nullptr;
  void* const* parameters = nullptr;
  void* const* extra = nullptr;
};

// How many kernels this call launches.
size_t launched_kernels(CUpti_CallbackId id, const void* params);
// i < launched_kernels(). Without both, where arguments are set one by one before (cuLaunchGrid,
// deprecated since CUDA 4): nothing is known.
KernelArguments launched_kernel(CUpti_CallbackId id, const void* params, size_t i);

struct ArgumentBuffer {
  const uint8_t* data = nullptr;
  size_t bytes = 0;
};
// What `extra` names; nothing when it is incomplete.
ArgumentBuffer argument_buffer(void* const* extra);

}  // namespace tidemark::cuda
