// Which physical memory of cuMemCreate is still held. The driver frees it when every handle is
// released and every mapping is gone, in whichever order (cuda.h: cuMemRelease), so neither
// cuMemRelease nor cuMemUnmap alone says so. One physical memory is one driver allocation; its
// address in the trace is its handle, mappings are not counted (they are addresses, not memory).
//
// A free must be published before the real call and taken back if the call fails; so each call
// that can free comes in two steps:
//   before_release / before_unmap   says which allocations this call would free: publish them
//   after_release  / after_unmap    on success takes the reference away; what is freed now although
//                                   no step before said so (two threads at once) is published late;
//                                   on failure what was said is unsaid
// Any thread. Handles that were not created here are ignored: imports.h has those of other
// processes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "flat_table.h"
#include "pages.h"

namespace tidemark::cuda {

// The keys (addresses in the trace) of allocations that one call frees. What does not fit is
// counted.
struct FreedKeys {
  static constexpr size_t kMost = 256;
  size_t count = 0;
  size_t left_out = 0;
  uint64_t keys[kMost];

  bool add(uint64_t key) {
    if (count == kMost) return false;
    keys[count++] = key;
    return true;
  }
};

class PhysicalMemory {
 public:
  // The address in the trace: the handle, or, while an older allocation with that handle value is
  // still mapped though released, the next number that is free. 0: no memory to remember it.
  uint64_t created(uint64_t handle);
  bool retained(uint64_t handle);  // false: of unknown memory
  // The address in the trace of what is mapped; 0: unknown memory.
  uint64_t mapped(uint64_t address, uint64_t bytes, uint64_t handle);

  void before_release(uint64_t handle, FreedKeys& freed);
  void after_release(uint64_t handle, bool success, FreedKeys& freed);
  void before_unmap(uint64_t address, uint64_t bytes, FreedKeys& freed);
  void after_unmap(uint64_t address, uint64_t bytes, bool success, FreedKeys& freed);

 private:
  struct Allocation {  // by key
    uint64_t handle;
    uint32_t handles;
    uint32_t mappings;
    bool announced;  // a step before has said that it is freed
  };
  struct Mapping {  // by first address
    uint64_t key;
    uint64_t bytes;
  };
  Allocation* allocation_of(uint64_t handle);
  uint32_t mappings_within(uint64_t address, uint64_t bytes, uint64_t key);
  void drop_if_unused(uint64_t key, FreedKeys& freed);

  SpinLock lock_;
  FlatTable<uint64_t> key_of_handle_;
  FlatTable<Allocation> allocations_;
  FlatTable<Mapping> mappings_;
};

}  // namespace tidemark::cuda
