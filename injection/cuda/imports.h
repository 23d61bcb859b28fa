// Physical memory of other processes, imported as a handle (cuMemImportFromShareableHandle, as NCCL
// does) and mapped here: where it is mapped is what this process has of it. Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "flat_table.h"
#include "pages.h"
#include "physical.h"

namespace tidemark::cuda {

class ImportedHandles {
 public:
  // Whether a mapping can be one of these.
  [[nodiscard]] bool any() const { return handles_.load(std::memory_order_relaxed) != 0; }
  void imported(uint64_t handle);
  void retained(uint64_t handle);  // nothing, where the handle is not an imported one
  void released(uint64_t handle);
  // True: `handle` is an imported one.
  bool mapped(uint64_t address, uint64_t bytes, uint64_t handle);

  // A range was unmapped: the first addresses of the imported mappings in it.
  void unmapped(uint64_t address, uint64_t bytes, FreedKeys& closed);

 private:
  SpinLock lock_;
  std::atomic<size_t> handles_{0};    // in references_
  FlatTable<uint32_t> references_;    // by handle
  FlatTable<uint64_t> mapped_bytes_;  // by first address
};

}  // namespace tidemark::cuda
