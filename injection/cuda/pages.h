// Memory straight from the kernel, so that nothing of ours is in the target's heap and no hook of
// anybody's sees it: mmap and munmap as raw system calls.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tidemark::cuda {

// Zeroed; nullptr when the system has none.
void* map_pages(size_t bytes);
void unmap_pages(void* memory, size_t bytes);

// Held for a few loads and stores only, never across a call that may wait.
class SpinLock {
 public:
  void lock();
  void unlock() { held_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> held_{false};
};

class SpinGuard {
 public:
  explicit SpinGuard(SpinLock& lock) : lock_(lock) { lock_.lock(); }
  ~SpinGuard() { lock_.unlock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  SpinLock& lock_;
};

// The buffers that CUPTI fills with activity records. Any thread may take and give back.
// CUPTI gets them zeroed, so that it need not clear them on the program's own threads (see
// CUPTI_ACTIVITY_ATTR_ZEROED_OUT_ACTIVITY_BUFFER); give_back clears, on the thread that delivers.
class BufferPool {
 public:
  static constexpr size_t kBufferBytes = size_t{1} << 20;
  static constexpr size_t kIdleBuffers = 64;  // more than these go back to the system

  uint8_t* take();
  void give_back(uint8_t* buffer);

 private:
  std::atomic<uint8_t*> idle_[kIdleBuffers] = {};
};

}  // namespace tidemark::cuda
