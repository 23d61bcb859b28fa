// PyTorch's caching allocator, block by block: layer `pool`. libc10 reports each block that the
// allocator hands out or takes back through a function that libc10_cuda calls by dynamic
// relocation, so ours is called instead, and calls theirs.
//
// It is called under the allocator's own lock and with the GIL released: no GIL, no loader lock.
// The real function is therefore found by reading libc10's symbol table, not by dlsym (which would
// not find it anyway: Python loads libc10 into a scope of its own).
#include <atomic>
#include <cstdint>

#include "hooks.h"
#include "process.h"
#include "recorder.h"
#include "tidemark/stack/modules.h"

namespace tidemark::preload {
namespace {

struct Device {  // c10::Device, passed in a register
  int8_t type;
  int8_t index;
};
static_assert(sizeof(Device) == 2);
constexpr int8_t kDeviceTypeCuda = 1;
constexpr int8_t kDeviceTypeHip = 6;

bool is_gpu(Device device) {
  return device.type == kDeviceTypeCuda || device.type == kDeviceTypeHip;
}

void* find_in_c10(const char* name) {
  const stack::Module* c10 = stack::find_module_by_name("libc10.so");
  return c10 == nullptr ? nullptr : reinterpret_cast<void*>(stack::find_symbol(*c10, name));
}

void report_block(void* address, int64_t bytes, uint64_t reserved, Device device,
                  const stack::Context& caller) {
  if (!is_gpu(device) || !recording()) return;
  if (bytes < 0) {
    record_pool_free(wire::Api::kC10, address, caller);
    return;
  }
  wire::DeviceAlloc record{};
  record.header = {wire::RecordType::kDeviceAlloc, static_cast<uint16_t>(wire::Api::kC10),
                   sizeof record, now_ns()};
  record.address = reinterpret_cast<uint64_t>(address);
  record.size = static_cast<uint64_t>(bytes);
  record.pool_reserved = reserved;
  record.layer = wire::Layer::kPool;
  record.space = wire::Space::kDevice;
  record.device = int16_t{device.index};
  record.stack = capture(caller);
  publish(&record);
}

void report_out_of_memory(int64_t requested, uint64_t allocated, uint64_t reserved, Device device,
                          const stack::Context& caller) {
  if (!is_gpu(device) || !recording()) return;
  wire::OutOfMemory record{};
  record.header = {wire::RecordType::kOutOfMemory, static_cast<uint16_t>(wire::Api::kC10),
                   sizeof record, now_ns()};
  record.requested = static_cast<uint64_t>(requested);
  record.allocated = allocated;
  record.reserved = reserved;
  record.layer = wire::Layer::kPool;
  record.device = int16_t{device.index};
  record.stack = capture(caller);
  publish(&record);
}

template <class Function>
Function real_of(std::atomic<void*>& known, const char* name) {
  void* real = known.load(std::memory_order_acquire);
  if (real == nullptr) {
    real = find_in_c10(name);
    known.store(real, std::memory_order_release);
  }
  return reinterpret_cast<Function>(real);
}

}  // namespace
}  // namespace tidemark::preload

using namespace tidemark::preload;  // the file is its hooks
using tidemark::stack::caller_context;

// 2.x and 1.x: c10::reportMemoryUsageToProfiler(void*, int64_t, size_t | int64_t, …, c10::Device)
#define TIDEMARK_REPORT_MEMORY(NAME)                                                             \
  TIDEMARK_EXPORT void NAME(void* address, int64_t bytes, uint64_t allocated, uint64_t reserved, \
                            Device device) {                                                     \
    static constinit std::atomic<void*> known{nullptr};                                          \
    report_block(address, bytes, reserved, device, caller_context());                            \
    using Real = void (*)(void*, int64_t, uint64_t, uint64_t, Device);                           \
    if (auto real = real_of<Real>(known, #NAME))                                                 \
      real(address, bytes, allocated, reserved, device);                                         \
  }
TIDEMARK_REPORT_MEMORY(_ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE)
TIDEMARK_REPORT_MEMORY(_ZN3c1027reportMemoryUsageToProfilerEPvlllNS_6DeviceE)

// c10::reportOutOfMemoryToProfiler(int64_t, size_t, size_t, c10::Device), and as some trees have
// it.
#define TIDEMARK_REPORT_OUT_OF_MEMORY(NAME)                                                    \
  TIDEMARK_EXPORT void NAME(int64_t requested, uint64_t allocated, uint64_t reserved,          \
                            Device device) {                                                   \
    static constinit std::atomic<void*> known{nullptr};                                        \
    report_out_of_memory(requested, allocated, reserved, device, caller_context());            \
    using Real = void (*)(int64_t, uint64_t, uint64_t, Device);                                \
    if (auto real = real_of<Real>(known, #NAME)) real(requested, allocated, reserved, device); \
  }
TIDEMARK_REPORT_OUT_OF_MEMORY(_ZN3c1027reportOutOfMemoryToProfilerElmmNS_6DeviceE)
TIDEMARK_REPORT_OUT_OF_MEMORY(_ZN3c1027reportOutOfMemoryToProfilerEmmmNS_6DeviceE)
TIDEMARK_REPORT_OUT_OF_MEMORY(_ZN3c1027reportOutOfMemoryToProfilerElllNS_6DeviceE)
