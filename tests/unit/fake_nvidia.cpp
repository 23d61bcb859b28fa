// NVIDIA's libraries as the doctor asks them: one library that is loaded as libcuda.so.1,
// libnvidia-ml.so.1 or libcupti.so.13. What it answers says FAKE_NVIDIA, "key=value" separated by
// commas: hang (the function that never returns), crash, init, nvml, cuda, cupti, mig, mode.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

std::string setting(const char* key, const char* otherwise) {
  const char* all = std::getenv("FAKE_NVIDIA");
  const std::string text = "," + std::string(all != nullptr ? all : "");
  const size_t at = text.find("," + std::string(key) + "=");
  if (at == std::string::npos) return otherwise;
  const size_t begin = text.find('=', at) + 1;
  return text.substr(begin, text.find(',', begin) - begin);
}

int number(const char* key, const char* otherwise) {
  return std::atoi(setting(key, otherwise).c_str());
}

void misbehave(const char* function) {
  if (setting("crash", "") == function) std::abort();
  while (setting("hang", "") == function) pause();
}

}  // namespace

EXPORT int cuDriverGetVersion(int* version) {
  *version = number("cuda", "13000");
  return 0;
}
EXPORT int cuInit(unsigned) {
  misbehave("cuInit");
  std::printf("drivers print\n");
  // It must not be seen: another tool's, or ours.
  if (std::getenv("CUDA_INJECTION64_PATH") != nullptr) return 1;
  return number("init", "0");
}
EXPORT int cuGetErrorName(int error, const char** name) {
  *name = error == 803 ? "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" : "CUDA_ERROR_UNKNOWN";
  return 0;
}
// A context is what the doctor must never make.
EXPORT int cuCtxCreate_v2(void**, unsigned, int) { std::abort(); }
EXPORT int cuDevicePrimaryCtxRetain(void**, int) { std::abort(); }

EXPORT int nvmlInit_v2() {
  misbehave("nvmlInit");
  return number("nvml", "0");
}
EXPORT const char* nvmlErrorString(int) { return "Driver/library version mismatch"; }
EXPORT int nvmlSystemGetDriverVersion(char* version, unsigned length) {
  std::snprintf(version, length, "580.65.06");
  return 0;
}
EXPORT int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 2;
  return 0;
}
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  *device = reinterpret_cast<void*>(uintptr_t{index} + 1);
  return 0;
}
EXPORT int nvmlDeviceGetName(void* device, char* name, unsigned length) {
  std::snprintf(name, length, "NVIDIA Test %c", device == reinterpret_cast<void*>(1) ? 'A' : 'B');
  return 0;
}
EXPORT int nvmlDeviceGetMemoryInfo(void*, unsigned long long* total_free_used) {
  total_free_used[0] = 80ULL << 30;
  total_free_used[1] = 79ULL << 30;
  total_free_used[2] = 1ULL << 30;
  return 0;
}
// The second device says nothing of its energy.
EXPORT int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts) {
  *milliwatts = device == reinterpret_cast<void*>(1) ? 310500 : 62000;
  return 0;
}
EXPORT int nvmlDeviceGetTotalEnergyConsumption(void* device, unsigned long long* millijoules) {
  if (device != reinterpret_cast<void*>(1)) return 3;  // not supported
  *millijoules = 5'000'000'000ULL;
  return 0;
}
struct FakePci {
  char bus_legacy[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};
EXPORT int nvmlShutdown() { return 0; }
EXPORT int nvmlDeviceGetPciInfo_v3(void* device, FakePci* pci) {
  const bool first = device == reinterpret_cast<void*>(1);
  pci->domain = first ? 0 : 1;
  pci->bus = first ? 0x1b : 0x1c;
  pci->device = 0;
  return 0;
}
struct FakeProcess {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};
// Forty on the first device; the last does not say what it uses.
EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned* count,
                                                   FakeProcess* processes) {
  const unsigned there = device == reinterpret_cast<void*>(1) ? 40 : 0;
  const bool fits = *count >= there;
  *count = there;
  if (!fits) return 7;  // insufficient size
  for (unsigned i = 0; i < there; ++i) {
    processes[i] = {100 + i, i == 39 ? ~0ULL : uint64_t{i} << 20, 0, 0};
  }
  return 0;
}

EXPORT int nvmlDeviceGetMigMode(void* device, unsigned* now, unsigned* pending) {
  if (device != reinterpret_cast<void*>(1)) return 3;  // not supported
  *now = static_cast<unsigned>(number("mig", "0"));
  *pending = 0;
  return 0;
}
EXPORT int nvmlDeviceGetComputeMode(void*, unsigned* mode) {
  *mode = static_cast<unsigned>(number("mode", "0"));
  return 0;
}

EXPORT int cuptiGetVersion(uint32_t* version) {
  misbehave("cuptiGetVersion");
  *version = static_cast<uint32_t>(number("cupti", "130001"));
  return 0;
}
