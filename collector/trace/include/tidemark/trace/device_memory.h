// What the driver says of a device's memory, from outside of the programs. Plain values.
#pragma once

#include <cstdint>

#include "tidemark/trace/types.h"

namespace tidemark::trace {

struct DeviceMemory {
  ProcessId process{};  // 0: everybody's
  StringId bus{};       // "0000:1b:00.0", as in /sys/bus/pci/devices
  int64_t time_ns = 0;
  uint64_t used_bytes = 0;   // contexts, code and libraries included
  uint64_t total_bytes = 0;  // of the device; 0 in rows of one process

  bool operator==(const DeviceMemory&) const = default;
};

}  // namespace tidemark::trace
