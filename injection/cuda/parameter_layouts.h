// How long each parameter of each kernel is: what must be known to read the arguments of a launch.
// The driver is asked once for each kernel; then it is a look-up without a lock.
//
// A kernel's handle may be given to another kernel once its module is gone. So forget() makes the
// driver be asked anew for all handles; what it says is compared with what is known, and only a
// change takes memory. Entries never move and never go, hence readers need no lock.
//
// Any thread.
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "pages.h"

namespace tidemark::cuda {

// Size of a parameter of a kernel; other than CUDA_SUCCESS behind the last one, or when `handle` is
// none of the kind that it knows.
using GetParameterInfo = CUresult (*)(const void* handle, size_t index, size_t* offset,
                                      size_t* bytes);

struct ParameterSpan {
  uint32_t index;  // of the parameter
  uint32_t words;  // that lie wholly within it, 8 bytes each; at least 1
};

struct ParameterLayout {  // the parameters that can hold a pointer
  size_t count = 0;
  const ParameterSpan* spans = nullptr;
};

class ParameterLayouts {
 public:
  // 4 KiB of parameters were the limit until CUDA 12.1; a kernel with more than that many pointers
  // is none that a compiler or a template makes.
  static constexpr size_t kMostSpans = 512;

  // `of_function` for CUfunction; `of_kernel` for CUkernel, which the runtime hands to the driver
  // in its place. False: no memory.
  bool create(GetParameterInfo of_function, GetParameterInfo of_kernel);

  // nullptr: the driver does not tell, or there is no room to remember it.
  const ParameterLayout* of(const void* handle) {
    const Slot* slot = find(handle);
    if (slot != nullptr && slot->generation.load(std::memory_order_acquire) ==
                               generation_.load(std::memory_order_acquire)) {
      return slot->layout.load(std::memory_order_acquire);
    }
    return ask(handle);
  }
  // Handles may mean something else from now on.
  void forget() { generation_.fetch_add(1, std::memory_order_acq_rel); }

 private:
  struct Slot {
    std::atomic<uintptr_t> handle;  // 0: free. Set last, for good
    std::atomic<const ParameterLayout*> layout;
    std::atomic<uint32_t> generation;
  };
  static constexpr size_t kSlots = size_t{1} << 16;
  static constexpr size_t kMostProbes = 256;
  static constexpr size_t kBlockBytes = size_t{64} * 1024;

  static size_t home(uintptr_t handle) {
    return static_cast<size_t>((handle >> 4) * 0x9e3779b97f4a7c15U >> 48);
  }
  static_assert(kSlots == size_t{1} << 16, "home() gives 16 bits");

  Slot* find(const void* handle) const {
    const auto key = reinterpret_cast<uintptr_t>(handle);
    size_t at = home(key);
    for (size_t probe = 0; probe < kMostProbes; ++probe, at = (at + 1) % kSlots) {
      const uintptr_t found = slots_[at].handle.load(std::memory_order_acquire);
      if (found == key) return &slots_[at];
      if (found == 0) return nullptr;
    }
    return nullptr;
  }
  const ParameterLayout* ask(const void* handle);
  bool read(const void* handle, ParameterSpan* spans, size_t& count) const;
  const ParameterLayout* keep(const void* handle, const ParameterSpan* spans, size_t count,
                              uint32_t generation);
  const ParameterLayout* store(const ParameterSpan* spans, size_t count);

  GetParameterInfo of_function_ = nullptr;
  GetParameterInfo of_kernel_ = nullptr;
  Slot* slots_ = nullptr;
  std::atomic<uint32_t> generation_{1};
  SpinLock lock_;  // of what is added
  uint8_t* block_ = nullptr;
  size_t block_left_ = 0;
};

}  // namespace tidemark::cuda
