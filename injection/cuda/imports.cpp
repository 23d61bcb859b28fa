#include "imports.h"

namespace tidemark::cuda {

void ImportedHandles::imported(uint64_t handle) {
  if (handle == 0) return;
  const SpinGuard guard(lock_);
  uint32_t* references = references_.find(handle);
  if (references != nullptr) {
    ++*references;
  } else {
    references_.insert(handle, 1);
  }
  handles_.store(references_.size(), std::memory_order_relaxed);
}

void ImportedHandles::retained(uint64_t handle) {
  const SpinGuard guard(lock_);
  if (uint32_t* references = references_.find(handle)) ++*references;
}

void ImportedHandles::released(uint64_t handle) {
  const SpinGuard guard(lock_);
  uint32_t* references = references_.find(handle);
  if (references == nullptr || --*references != 0) return;
  references_.erase(handle);
  handles_.store(references_.size(), std::memory_order_relaxed);
}

bool ImportedHandles::mapped(uint64_t address, uint64_t bytes, uint64_t handle) {
  const SpinGuard guard(lock_);
  if (address == 0 || bytes == 0 || references_.find(handle) == nullptr) return false;
  mapped_bytes_.insert(address, bytes);
  return true;
}

void ImportedHandles::unmapped(uint64_t address, uint64_t bytes, FreedKeys& closed) {
  const SpinGuard guard(lock_);
  for (uint64_t at = address; at < address + bytes;) {
    const uint64_t* found = mapped_bytes_.find(at);
    if (found == nullptr) return;
    const uint64_t mapped = *found;
    if (!closed.add(at)) ++closed.left_out;
    mapped_bytes_.erase(at);
    at += mapped;
  }
}

}  // namespace tidemark::cuda
