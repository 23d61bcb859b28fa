// What is said of device memory beside who allocated it: the driver's own count, its pools, what it
// did with managed pages, what other processes share; the device's power, and when the device's
// work was kept. Plain values.
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

// A memory pool of the driver (cudaMallocAsync), after each allocation or free that changed it.
struct DriverPool {
  ProcessId process{};
  int16_t device = kNoDevice;
  uint64_t pool = 0;  // address of the driver's object: tells a process's pools apart
  int64_t time_ns = 0;
  uint64_t held_bytes = 0;  // from the device
  uint64_t used_bytes = 0;  // handed out

  bool operator==(const DriverPool&) const = default;
};

enum class MigrationKind : uint8_t {
  kHtoD = 0,  // pages of managed memory were copied
  kDtoH = 1,
  kDtoD = 2,
  kCpuFault = 3,
  kGpuFault = 4,
  kThrashing = 5,
  kThrottling = 6,
  kRemoteMap = 7,
};
[[nodiscard]] const char* to_string(MigrationKind kind);

// What the driver did with pages of managed memory.
struct Migration {
  int64_t id = 0;
  ProcessId process{};
  MigrationKind kind{};
  int16_t src_device = kNoDevice;  // kNoDevice: the host, or not told
  int16_t dst_device = kNoDevice;
  uint64_t address = 0;
  uint64_t bytes = 0;   // faults: 0
  uint32_t faults = 0;  // of a device: groups of faults on the page
  int64_t start_ns = 0;
  int64_t end_ns = 0;  // start_ns where no end is told

  bool operator==(const Migration&) const = default;
};

// Another process's device memory, opened through an IPC handle: nobody's allocation here, so in no
// sum of allocations.
struct ImportedMemory {
  ImportId id{};
  ProcessId process{};
  ThreadId thread{};
  int16_t device = kNoDevice;
  uint64_t address = 0;
  uint64_t size = 0;  // 0: not told
  int64_t open_ns = 0;
  int64_t close_ns = kNever;
  StackId stack{};  // that opened it
  StringId api{};

  bool operator==(const ImportedMemory&) const = default;
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
