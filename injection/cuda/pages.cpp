#include "pages.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

namespace tidemark::cuda {

void* map_pages(size_t bytes) {
  const long address = syscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L);
  // A system call returns numbers.
  return address == -1 ? nullptr : reinterpret_cast<void*>(address);
}

void unmap_pages(void* memory, size_t bytes) { syscall(SYS_munmap, memory, bytes); }

void SpinLock::lock() {
  while (held_.exchange(true, std::memory_order_acquire)) {
    while (held_.load(std::memory_order_relaxed)) sched_yield();
  }
}

uint8_t* BufferPool::take() {
  for (auto& slot : idle_) {
    if (slot.load(std::memory_order_relaxed) == nullptr) continue;
    if (uint8_t* buffer = slot.exchange(nullptr, std::memory_order_acquire)) return buffer;
  }
  return static_cast<uint8_t*>(map_pages(kBufferBytes));
}

void BufferPool::give_back(uint8_t* buffer) {
  std::memset(buffer, 0, kBufferBytes);
  for (auto& slot : idle_) {
    uint8_t* empty = nullptr;
    if (slot.compare_exchange_strong(empty, buffer, std::memory_order_release,
                                     std::memory_order_relaxed)) {
      return;
    }
  }
  unmap_pages(buffer, kBufferBytes);
}

}  // namespace tidemark::cuda
