// The driver functions that device_facts.cpp, access.cpp, recorder.cpp and start.cpp ask, under the
// driver's own soname: a machine with two devices.
#include <cuda.h>

#include <cstring>

#include "fake_kernel.h"

#undef cuDeviceTotalMem
#undef cuMemGetAddressRange
#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT CUresult cuDriverGetVersion(int* version) {
  *version = 13010;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetCount(int* count) {
  *count = 2;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  *device = ordinal + 10;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  std::strncpy(name, device == 10 ? "NVIDIA Test A" : "NVIDIA Test B", static_cast<size_t>(length));
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  *bytes = device == 10 ? size_t{80} << 30 : size_t{24} << 30;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
  *value = attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 9 : 0;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetPCIBusId(char* bus, int length, CUdevice device) {
  std::strncpy(bus, device == 10 ? "0000:FFFF:1F.7" : "0000:FFFE:1F.7",
               static_cast<size_t>(length));
  return CUDA_SUCCESS;
}

// Of memory in blocks of 4 KiB.
EXPORT CUresult cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr address) {
  *base = address / 4096 * 4096;
  *bytes = 4096;
  return CUDA_SUCCESS;
}

namespace {
CUresult parameter_info(FakeKernel& kernel, bool as_function, size_t index, size_t* offset,
                        size_t* bytes) {
  ++kernel.asked;
  if (as_function == kernel.of_library) return CUDA_ERROR_INVALID_HANDLE;
  if (index >= kernel.parameter_bytes.size()) return CUDA_ERROR_INVALID_VALUE;
  *offset = 0;
  for (size_t i = 0; i < index; ++i) *offset += (kernel.parameter_bytes[i] + 7) / 8 * 8;
  *bytes = kernel.parameter_bytes[index];
  return CUDA_SUCCESS;
}
}  // namespace
EXPORT CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset,
                                   size_t* bytes) {
  return parameter_info(*reinterpret_cast<FakeKernel*>(function), true, index, offset, bytes);
}
EXPORT CUresult cuKernelGetParamInfo(CUkernel kernel, size_t index, size_t* offset, size_t* bytes) {
  return parameter_info(*reinterpret_cast<FakeKernel*>(kernel), false, index, offset, bytes);
}
