// Watches what the driver says of device memory, on a thread of its own: of everybody, and of the
// recorded processes, whose contexts, code and libraries no allocation shows; and of each device's
// power. One row each time a figure has changed, looked at four times a second.
//
// begin(), watch(), take() and stop() are called from one thread, the collector's. A driver that
// hangs may not hang a recording's end: then the thread is left behind, with what it uses.
#pragma once

#include <functional>
#include <memory>

#include "losses.h"
#include "nvml.h"
#include "tidemark/trace/writer.h"

namespace tidemark::collector {

class DeviceMemorySampler {
 public:
  using Open = std::function<Result<std::unique_ptr<Nvml>>()>;
  // `open` is called on the sampler's thread.
  explicit DeviceMemorySampler(Open open = [] { return Nvml::open(); });
  ~DeviceMemorySampler();
  DeviceMemorySampler(const DeviceMemorySampler&) = delete;
  DeviceMemorySampler& operator=(const DeviceMemorySampler&) = delete;

  // Once a recorded process uses a device: before, the driver is not touched. Later calls do
  // nothing.
  void begin();
  // Rows of this pid are this process's from now on.
  void watch(trace::ProcessId process, int32_t pid);
  // Writes what was seen since the last call. `zero_ns`: the recording's zero.
  void take(uint64_t zero_ns, trace::Writer& writer, Losses& losses);
  void stop();

 private:
  struct Shared;
  static void run(const std::shared_ptr<Shared>& shared);

  std::shared_ptr<Shared> shared_;
  bool begun_ = false;
  bool stopped_ = false;
};

}  // namespace tidemark::collector
