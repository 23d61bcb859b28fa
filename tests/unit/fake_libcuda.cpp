// The driver functions that device_facts.cpp asks, under the driver's own soname: a machine with
// two devices.
#include <cuda.h>

#include <cstring>

#undef cuDeviceTotalMem
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
