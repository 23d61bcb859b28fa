// A hash table from 64-bit keys (not 0) to small plain values, in pages from the kernel.
// Not thread-safe: the owner holds a lock. Pointers into it hold until the next insert or erase.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "pages.h"

namespace tidemark::cuda {

template <class Value>
class FlatTable {
  static_assert(std::is_trivially_copyable_v<Value>);

 public:
  FlatTable() = default;
  ~FlatTable() { release(); }
  FlatTable(const FlatTable&) = delete;
  FlatTable& operator=(const FlatTable&) = delete;

  size_t size() const { return size_; }

  Value* find(uint64_t key) {
    if (capacity_ == 0) return nullptr;
    for (size_t i = home(key);; i = next(i)) {
      if (slots_[i].key == key) return &slots_[i].value;
      if (slots_[i].key == 0) return nullptr;
    }
  }

  // Replaces what is there. nullptr when the system has no memory: then nothing is stored.
  Value* insert(uint64_t key, const Value& value) {
    if (Value* present = find(key)) {
      *present = value;
      return present;
    }
    if ((size_ + 1) * 4 > capacity_ * 3 && !grow()) return nullptr;
    ++size_;
    Slot& slot = vacant(key);
    slot.key = key;
    slot.value = value;
    return &slot.value;
  }

  void erase(uint64_t key) {
    if (capacity_ == 0) return;
    size_t hole = home(key);
    while (slots_[hole].key != key) {
      if (slots_[hole].key == 0) return;
      hole = next(hole);
    }
    // Backward shift: no tombstones, so a table that is filled and emptied for hours stays short.
    for (size_t i = next(hole); slots_[i].key != 0; i = next(i)) {
      const size_t wanted = home(slots_[i].key);
      const bool between =
          hole <= i ? (wanted > hole && wanted <= i) : (wanted > hole || wanted <= i);
      if (between) continue;
      slots_[hole] = slots_[i];
      hole = i;
    }
    slots_[hole].key = 0;
    --size_;
  }

  void clear() {
    for (size_t i = 0; i < capacity_; ++i) slots_[i].key = 0;
    size_ = 0;
  }

 private:
  struct Slot {
    uint64_t key;
    Value value;
  };
  static constexpr size_t kFirstCapacity = 1024;

  size_t home(uint64_t key) const {
    return static_cast<size_t>((key * 0x9e3779b97f4a7c15U) >> 20U) & (capacity_ - 1);
  }
  size_t next(size_t i) const { return (i + 1) & (capacity_ - 1); }
  Slot& vacant(uint64_t key) {
    size_t i = home(key);
    while (slots_[i].key != 0) i = next(i);
    return slots_[i];
  }
  bool grow() {
    const size_t capacity = capacity_ == 0 ? kFirstCapacity : capacity_ * 2;
    auto* slots = static_cast<Slot*>(map_pages(capacity * sizeof(Slot)));
    if (slots == nullptr) return false;
    Slot* old_slots = slots_;
    const size_t old_capacity = capacity_;
    slots_ = slots;
    capacity_ = capacity;
    for (size_t i = 0; i < old_capacity; ++i) {
      if (old_slots[i].key != 0) vacant(old_slots[i].key) = old_slots[i];
    }
    if (old_slots != nullptr) unmap_pages(old_slots, old_capacity * sizeof(Slot));
    return true;
  }
  void release() {
    if (slots_ != nullptr) unmap_pages(slots_, capacity_ * sizeof(Slot));
    slots_ = nullptr;
    capacity_ = size_ = 0;
  }

  Slot* slots_ = nullptr;
  size_t capacity_ = 0;
  size_t size_ = 0;
};

}  // namespace tidemark::cuda
