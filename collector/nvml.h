// NVIDIA's management library: how much memory of each device is used, by all and by each process,
// and what power the device takes.
// Found at run time; needs no context and no right. Not thread-safe: one thread. A call can take
// milliseconds, and hangs when the driver does.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/trace/result.h"

namespace tidemark::collector {

struct DeviceUse {
  struct Process {
    int32_t pid = 0;
    uint64_t used_bytes = 0;
  };
  std::string bus;  // "0000:1b:00.0", as in /sys/bus/pci/devices
  uint64_t used_bytes = 0;
  uint64_t total_bytes = 0;
  std::vector<Process> processes;  // that hold a context; none where the driver does not tell
  std::optional<int64_t> power_mw = std::nullopt;   // of the whole board
  std::optional<int64_t> energy_mj = std::nullopt;  // since the driver was loaded
};

class Nvml {
 public:
  virtual ~Nvml() = default;
  virtual std::vector<DeviceUse> look() = 0;

  // Errors: no such library, or one that refuses (another version than the kernel's module).
  [[nodiscard]] static Result<std::unique_ptr<Nvml>> open(
      const std::string& library = "libnvidia-ml.so.1");
};

}  // namespace tidemark::collector
