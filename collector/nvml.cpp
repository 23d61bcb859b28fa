#include "nvml.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>

namespace tidemark::collector {
namespace {

// The interface's own layouts and numbers, which are for ever.
using Handle = void*;
constexpr int kSuccess = 0;
constexpr int kInsufficientSize = 7;
constexpr uint64_t kNotAvailable = ~uint64_t{0};

struct Memory {
  unsigned long long total, free, used;
};
struct Pci {
  char bus_legacy[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};
struct RunningProcess {  // versions 2 and 3
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};
static_assert(sizeof(RunningProcess) == 24);

struct Functions {
  int (*init)();
  int (*shutdown)();
  const char* (*error_text)(int);
  int (*count)(unsigned*);
  int (*handle)(unsigned, Handle*);
  int (*pci)(Handle, Pci*);
  int (*memory)(Handle, Memory*);
  // What follows may be missing.
  int (*processes)(Handle, unsigned*, RunningProcess*);
  int (*power)(Handle, unsigned*);
  int (*energy)(Handle, unsigned long long*);
};

template <class Function>
bool resolve(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

class RealNvml final : public Nvml {
 public:
  RealNvml(void* library, const Functions& functions) : library_(library), call_(functions) {}
  ~RealNvml() override {
    call_.shutdown();
    dlclose(library_);
  }
  RealNvml(const RealNvml&) = delete;
  RealNvml& operator=(const RealNvml&) = delete;

  std::vector<DeviceUse> look() override {
    std::vector<DeviceUse> devices;
    unsigned count = 0;
    if (call_.count(&count) != kSuccess) return devices;
    for (unsigned i = 0; i < count; ++i) {
      Handle handle = nullptr;
      Pci pci{};
      Memory memory{};
      if (call_.handle(i, &handle) != kSuccess || call_.pci(handle, &pci) != kSuccess ||
          call_.memory(handle, &memory) != kSuccess) {
        continue;
      }
      DeviceUse use;
      use.bus = fmt::format("{:04x}:{:02x}:{:02x}.0", pci.domain, pci.bus, pci.device);
      use.used_bytes = memory.used;
      use.total_bytes = memory.total;
      add_processes(handle, use);
      unsigned power_mw = 0;
      if (call_.power != nullptr && call_.power(handle, &power_mw) == kSuccess) {
        use.power_mw = power_mw;
      }
      unsigned long long energy_mj = 0;
      if (call_.energy != nullptr && call_.energy(handle, &energy_mj) == kSuccess) {
        use.energy_mj = static_cast<int64_t>(energy_mj);
      }
      devices.push_back(std::move(use));
    }
    return devices;
  }

 private:
  void add_processes(Handle handle, DeviceUse& use) {
    if (call_.processes == nullptr) return;
    // A few more than there were: some may begin between two calls.
    running_.resize(std::max<size_t>(running_.size(), 16));
    for (int tries = 0; tries < 3; ++tries) {
      auto count = static_cast<unsigned>(running_.size());
      const int result = call_.processes(handle, &count, running_.data());
      if (result == kInsufficientSize && count < 1U << 16) {
        running_.resize(size_t{count} + 16);
        continue;
      }
      if (result != kSuccess) return;
      for (unsigned i = 0; i < std::min<size_t>(count, running_.size()); ++i) {
        if (running_[i].used == kNotAvailable) continue;
        use.processes.push_back({static_cast<int32_t>(running_[i].pid), running_[i].used});
      }
      return;
    }
  }

  void* library_;
  Functions call_;
  std::vector<RunningProcess> running_;
};

}  // namespace

Result<std::unique_ptr<Nvml>> Nvml::open(const std::string& name) {
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* text = dlerror();
    return fail(text != nullptr ? text : "cannot load " + name);
  }
  Functions call{};
  const bool complete = resolve(library, "nvmlInit_v2", call.init) &&
                        resolve(library, "nvmlShutdown", call.shutdown) &&
                        resolve(library, "nvmlErrorString", call.error_text) &&
                        resolve(library, "nvmlDeviceGetCount_v2", call.count) &&
                        resolve(library, "nvmlDeviceGetHandleByIndex_v2", call.handle) &&
                        resolve(library, "nvmlDeviceGetPciInfo_v3", call.pci) &&
                        resolve(library, "nvmlDeviceGetMemoryInfo", call.memory);
  // Drivers before R510 have only version 2, of the same layout.
  if (!resolve(library, "nvmlDeviceGetComputeRunningProcesses_v3", call.processes)) {
    resolve(library, "nvmlDeviceGetComputeRunningProcesses_v2", call.processes);
  }
  resolve(library, "nvmlDeviceGetPowerUsage", call.power);
  resolve(library, "nvmlDeviceGetTotalEnergyConsumption", call.energy);
  const int result = complete ? call.init() : kSuccess;
  if (!complete || result != kSuccess) {
    const std::string why =
        complete ? std::string(call.error_text(result)) : "it lacks functions that are needed";
    dlclose(library);
    return fail(fmt::format("{}: {}", name, why));
  }
  return std::make_unique<RealNvml>(library, call);
}

}  // namespace tidemark::collector
