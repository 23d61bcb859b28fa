// What is said of a recording from outside of the programs: the driver's count of device memory,
// the device's power, and when the device's work was kept. Plain values.
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

// The whole board's, whoever uses it.
struct DevicePower {
  StringId bus{};  // as in DeviceMemory
  int64_t time_ns = 0;
  int64_t power_mw = 0;         // milliwatts, as the driver averages it
  int64_t energy_mj = kUntold;  // millijoules since the driver was loaded; kUntold: not counted

  static constexpr int64_t kUntold = -1;
  bool operator==(const DevicePower&) const = default;
};

// While what the device did was kept (--window).
struct RecordingWindow {
  WindowId id{};
  ProcessId process{};  // 0: all
  int64_t begin_ns = 0;
  int64_t end_ns = kNever;

  bool operator==(const RecordingWindow&) const = default;
};

}  // namespace tidemark::trace
