#include "physical.h"

namespace tidemark::cuda {

uint64_t PhysicalMemory::created(uint64_t handle) {
  const SpinGuard guard(lock_);
  uint64_t key = handle;
  while (allocations_.find(key) != nullptr) ++key;
  if (allocations_.insert(key, {handle, 1, 0, false}) == nullptr) return 0;
  if (key_of_handle_.insert(handle, key) == nullptr) {
    allocations_.erase(key);
    return 0;
  }
  return key;
}

bool PhysicalMemory::retained(uint64_t handle) {
  const SpinGuard guard(lock_);
  Allocation* allocation = allocation_of(handle);
  if (allocation == nullptr) return false;
  ++allocation->handles;
  return true;
}

uint64_t PhysicalMemory::mapped(uint64_t address, uint64_t bytes, uint64_t handle) {
  const SpinGuard guard(lock_);
  Allocation* allocation = allocation_of(handle);
  if (allocation == nullptr || bytes == 0) return 0;
  const uint64_t key = *key_of_handle_.find(handle);
  if (mappings_.insert(address, {key, bytes}) != nullptr) ++allocation->mappings;
  return key;
}

void PhysicalMemory::before_release(uint64_t handle, FreedKeys& freed) {
  const SpinGuard guard(lock_);
  Allocation* allocation = allocation_of(handle);
  if (allocation == nullptr || allocation->announced) return;
  if (allocation->handles == 1 && allocation->mappings == 0) {
    allocation->announced = freed.add(*key_of_handle_.find(handle));
  }
}

void PhysicalMemory::after_release(uint64_t handle, bool success, FreedKeys& freed) {
  const SpinGuard guard(lock_);
  Allocation* allocation = allocation_of(handle);
  if (allocation == nullptr || allocation->handles == 0) return;
  if (success) {
    --allocation->handles;
    drop_if_unused(*key_of_handle_.find(handle), freed);
  } else {
    allocation->announced = false;
  }
}

void PhysicalMemory::before_unmap(uint64_t address, uint64_t bytes, FreedKeys& freed) {
  const SpinGuard guard(lock_);
  // One call may undo several neighbouring mappings, even several of one memory.
  for (uint64_t at = address; at < address + bytes;) {
    const Mapping* mapping = mappings_.find(at);
    if (mapping == nullptr) return;
    Allocation* allocation = allocations_.find(mapping->key);
    if (allocation != nullptr && allocation->handles == 0 && !allocation->announced &&
        (allocation->mappings == 1 ||
         allocation->mappings == mappings_within(address, bytes, mapping->key))) {
      allocation->announced = freed.add(mapping->key);
    }
    at += mapping->bytes;
  }
}

void PhysicalMemory::after_unmap(uint64_t address, uint64_t bytes, bool success, FreedKeys& freed) {
  const SpinGuard guard(lock_);
  for (uint64_t at = address; at < address + bytes;) {
    const Mapping* found = mappings_.find(at);
    if (found == nullptr) return;
    const Mapping mapping = *found;
    Allocation* allocation = allocations_.find(mapping.key);
    if (allocation != nullptr && success) {
      --allocation->mappings;
      drop_if_unused(mapping.key, freed);
    } else if (allocation != nullptr) {
      allocation->announced = false;
    }
    if (success) mappings_.erase(at);
    at += mapping.bytes;
  }
}

PhysicalMemory::Allocation* PhysicalMemory::allocation_of(uint64_t handle) {
  const uint64_t* key = key_of_handle_.find(handle);
  return key != nullptr ? allocations_.find(*key) : nullptr;
}

uint32_t PhysicalMemory::mappings_within(uint64_t address, uint64_t bytes, uint64_t key) {
  uint32_t count = 0;
  for (uint64_t at = address; at < address + bytes;) {
    const Mapping* mapping = mappings_.find(at);
    if (mapping == nullptr) break;
    if (mapping->key == key) ++count;
    at += mapping->bytes;
  }
  return count;
}

void PhysicalMemory::drop_if_unused(uint64_t key, FreedKeys& freed) {
  const Allocation allocation = *allocations_.find(key);
  if (allocation.handles != 0 || allocation.mappings != 0) return;
  if (!allocation.announced && !freed.add(key)) ++freed.left_out;
  allocations_.erase(key);
  // The driver may have given the same handle value to another memory since its release.
  const uint64_t* current = key_of_handle_.find(allocation.handle);
  if (current != nullptr && *current == key) key_of_handle_.erase(allocation.handle);
}

}  // namespace tidemark::cuda
