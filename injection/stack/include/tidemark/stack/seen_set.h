// A set of 64-bit hashes, shared by all threads without a lock: which stacks and names have been
// published already. Never shrinks. When it is full, `insert` says so and the caller publishes
// again.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "tidemark/stack/syscalls.h"

namespace tidemark::stack {

class SeenSet {
 public:
  static constexpr size_t kCapacity = size_t{1} << 21;
  static constexpr size_t kMaxProbes = 64;

  // Memory from the kernel, touched as it fills. False when there is none.
  bool create() {
    words_ = static_cast<std::atomic<uint64_t>*>(
        sys::map_anonymous(kCapacity * sizeof(std::atomic<uint64_t>)));
    return words_ != nullptr;
  }
  // Forgets everything, in a forked child: what the parent published is the parent's.
  bool renew() {
    sys::unmap(words_, kCapacity * sizeof(std::atomic<uint64_t>));
    return create();
  }

  bool contains(uint64_t hash) const {
    for (size_t i = 0; i < kMaxProbes; ++i) {
      const uint64_t word = at(hash, i).load(std::memory_order_relaxed);
      if (word == hash) return true;
      if (word == 0) return false;
    }
    return false;
  }
  // `hash` is not 0. False when there was no room.
  bool insert(uint64_t hash) {
    for (size_t i = 0; i < kMaxProbes; ++i) {
      uint64_t word = 0;
      if (at(hash, i).compare_exchange_strong(word, hash, std::memory_order_relaxed)) return true;
      if (word == hash) return true;
    }
    return false;
  }

 private:
  std::atomic<uint64_t>& at(uint64_t hash, size_t probe) const {
    return words_[(hash + probe) & (kCapacity - 1)];
  }
  std::atomic<uint64_t>* words_ = nullptr;
};

}  // namespace tidemark::stack
