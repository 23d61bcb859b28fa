#include "kernel_arguments.h"

namespace tidemark::cuda {

#define TIDEMARK_ID(name) CUPTI_DRIVER_TRACE_CBID_##name
#define TIDEMARK_ARGUMENTS(name) (*static_cast<const name##_params*>(params))

size_t launched_kernels(CUpti_CallbackId id, const void* params) {
  if (params == nullptr) return 0;
  switch (id) {
    case TIDEMARK_ID(cuLaunchKernel):
    case TIDEMARK_ID(cuLaunchKernel_ptsz):
    case TIDEMARK_ID(cuLaunchKernelEx):
    case TIDEMARK_ID(cuLaunchKernelEx_ptsz):
    case TIDEMARK_ID(cuLaunchCooperativeKernel):
    case TIDEMARK_ID(cuLaunchCooperativeKernel_ptsz):
    case TIDEMARK_ID(cuGraphAddKernelNode):
    case TIDEMARK_ID(cuGraphAddKernelNode_v2):
    case TIDEMARK_ID(cuLaunch):
    case TIDEMARK_ID(cuLaunchGrid):
    case TIDEMARK_ID(cuLaunchGridAsync):
      return 1;
    case TIDEMARK_ID(cuLaunchCooperativeKernelMultiDevice): {
      const auto& a = TIDEMARK_ARGUMENTS(cuLaunchCooperativeKernelMultiDevice);
      return a.launchParamsList != nullptr ? a.numDevices : 0;
    }
    default:
      return 0;
  }
}

// The …_ptsz forms have the same parameters as the plain ones.
KernelArguments launched_kernel(CUpti_CallbackId id, const void* params, size_t i) {
  switch (id) {
    case TIDEMARK_ID(cuLaunchKernel):
    case TIDEMARK_ID(cuLaunchKernel_ptsz): {
      const auto& a = TIDEMARK_ARGUMENTS(cuLaunchKernel);
      return {a.f, a.kernelParams, a.extra};
    }
    case TIDEMARK_ID(cuLaunchKernelEx):
    case TIDEMARK_ID(cuLaunchKernelEx_ptsz): {
      const auto& a = TIDEMARK_ARGUMENTS(cuLaunchKernelEx);
      return {a.f, a.kernelParams, a.extra};
    }
    case TIDEMARK_ID(cuLaunchCooperativeKernel):
    case TIDEMARK_ID(cuLaunchCooperativeKernel_ptsz): {
      const auto& a = TIDEMARK_ARGUMENTS(cuLaunchCooperativeKernel);
      return {a.f, a.kernelParams, nullptr};
    }
    // The first form's parameters are the beginning of the second's.
    case TIDEMARK_ID(cuGraphAddKernelNode):
    case TIDEMARK_ID(cuGraphAddKernelNode_v2): {
      const CUDA_KERNEL_NODE_PARAMS* node = TIDEMARK_ARGUMENTS(cuGraphAddKernelNode_v2).nodeParams;
      return node != nullptr ? KernelArguments{node->func, node->kernelParams, node->extra}
                             : KernelArguments{};
    }
    case TIDEMARK_ID(cuLaunchCooperativeKernelMultiDevice): {
      const auto& a = TIDEMARK_ARGUMENTS(cuLaunchCooperativeKernelMultiDevice);
      return {a.launchParamsList[i].function, a.launchParamsList[i].kernelParams, nullptr};
    }
    default:
      return {};
  }
}

ArgumentBuffer argument_buffer(void* const* extra) {
  constexpr size_t kMostPairs = 16;  // there are two keys
  ArgumentBuffer buffer;
  const size_t* bytes = nullptr;
  for (size_t i = 0; extra != nullptr && i < kMostPairs; ++i, extra += 2) {
    const void* key = extra[0];
    if (key == CU_LAUNCH_PARAM_END) break;
    if (key == CU_LAUNCH_PARAM_BUFFER_POINTER) buffer.data = static_cast<uint8_t*>(extra[1]);
    if (key == CU_LAUNCH_PARAM_BUFFER_SIZE) bytes = static_cast<size_t*>(extra[1]);
  }
  if (buffer.data == nullptr || bytes == nullptr) return {};
  buffer.bytes = *bytes;
  return buffer;
}

}  // namespace tidemark::cuda
