// A hash table from addresses, or ids that are hashes, to small values: what an event looks up once
// or twice. One thread. tsl::robin_map takes 24 bytes for such a pair and cannot be told what will
// be asked next; with a million live blocks that is a cache miss, and a miss of the page tables,
// for every event.
//
//   prefetch(a) prefetch(b) prefetch(c) …  then  find(a) find(b) find(c): the misses overlap
//
// Open addressing with linear probing; an erased place is closed by moving back what follows
// ("backward shift"), so there are no tombstones and a table does not wear out. At most 5/8 full.
#pragma once

#include <sys/mman.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace tidemark::collector {

template <class Value>
class AddressTable {
  static_assert(std::is_trivially_copyable_v<Value>);

 public:
  [[nodiscard]] size_t size() const { return used_ + (has_zero_ ? 1 : 0); }

  // Valid until the next insert() or erase(). nullptr: not there.
  [[nodiscard]] Value* find(uint64_t key) {
    if (key == 0) return has_zero_ ? &zero_.value : nullptr;
    if (used_ == 0) return nullptr;
    for (size_t at = home(key);; at = next(at)) {
      if (slots_[at].key == key) return &slots_[at].value;
      if (slots_[at].key == 0) return nullptr;
    }
  }

  // The value of `key`, and whether it is new; what was there before stays.
  std::pair<Value*, bool> insert(uint64_t key, const Value& value) {
    if (key == 0) {
      if (!std::exchange(has_zero_, true)) {
        zero_.value = value;
        return {&zero_.value, true};
      }
      return {&zero_.value, false};
    }
    if (used_ + 1 > room()) grow();
    size_t at = home(key);
    for (; slots_[at].key != 0; at = next(at)) {
      if (slots_[at].key == key) return {&slots_[at].value, false};
    }
    slots_[at] = {key, value};
    ++used_;
    return {&slots_[at].value, true};
  }

  bool erase(uint64_t key) {
    if (key == 0) return std::exchange(has_zero_, false);
    if (used_ == 0) return false;
    size_t hole = home(key);
    for (; slots_[hole].key != key; hole = next(hole)) {
      if (slots_[hole].key == 0) return false;
    }
    for (size_t at = next(hole); slots_[at].key != 0; at = next(at)) {
      // It may move into the hole unless its home lies behind the hole.
      if (((at - home(slots_[at].key)) & mask_) < ((at - hole) & mask_)) continue;
      slots_[hole] = slots_[at];
      hole = at;
    }
    slots_[hole].key = 0;
    --used_;
    return true;
  }

  void prefetch(uint64_t key) const {
    if (mask_ != 0) __builtin_prefetch(&slots_[home(key)]);
  }

 private:
  struct Slot {
    uint64_t key;  // 0: free
    Value value;
  };
  struct Release {
    void operator()(Slot* slots) const { std::free(slots); }
  };
  static constexpr size_t kSmallest = 64;
  static constexpr size_t kHugePage = size_t{2} << 20;

  // Addresses are multiples of 16, mostly: multiplied, the high bits are as good as random.
  [[nodiscard]] size_t home(uint64_t key) const {
    return ((key ^ key >> 32) * 0x9e3779b97f4a7c15U) >> shift_;
  }
  [[nodiscard]] size_t next(size_t at) const { return (at + 1) & mask_; }
  [[nodiscard]] size_t room() const { return mask_ == 0 ? 0 : (mask_ + 1) / 8 * 5; }

  void grow() {
    const size_t capacity = mask_ == 0 ? kSmallest : 2 * (mask_ + 1);
    const size_t bytes = capacity * sizeof(Slot);
    const size_t alignment = bytes >= kHugePage ? kHugePage : 64;
    auto* slots = static_cast<Slot*>(
        std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment));
    if (slots == nullptr) throw std::bad_alloc();
    // A hint: with small pages each look-up would miss the TLB too.
    if (bytes >= kHugePage) madvise(slots, bytes, MADV_HUGEPAGE);
    std::unique_ptr<Slot[], Release> old(slots);
    for (size_t at = 0; at < capacity; ++at) slots[at].key = 0;
    old.swap(slots_);
    const size_t old_capacity = mask_ == 0 ? 0 : mask_ + 1;
    mask_ = capacity - 1;
    shift_ = 64 - static_cast<unsigned>(std::countr_zero(capacity));
    for (size_t from = 0; from < old_capacity; ++from) {
      if (old[from].key == 0) continue;
      size_t at = home(old[from].key);
      while (slots_[at].key != 0) at = next(at);
      slots_[at] = old[from];
    }
  }

  std::unique_ptr<Slot[], Release> slots_;
  size_t mask_ = 0;  // capacity - 1; 0: nothing allocated
  unsigned shift_ = 0;
  size_t used_ = 0;
  bool has_zero_ = false;
  Slot zero_{};
};

}  // namespace tidemark::collector
