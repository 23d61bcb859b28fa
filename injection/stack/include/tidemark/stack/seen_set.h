// A set of 64-bit hashes, shared by all threads without a lock: which stacks and names have been
// published already. Takes memory as it fills: 128 KB for a small program, at most 22 MB, for some
// two million. When it is full, old ones give way to new ones, and are published again when they
// come again.
//
// Levels of growing size, filled one after the other, hold the whole of each hash. A part of it is
// not enough: a run of minutes looks up 10^8 of them, and what is wrongly taken for known is never
// published, which leaves an event without its stack.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "tidemark/stack/syscalls.h"

namespace tidemark::stack {

class SeenSet {
  static constexpr size_t kLevels = 4;
  static constexpr size_t kEntries = (1U << 14) + (1U << 17) + (1U << 19) + (1U << 21);

 public:
  static constexpr size_t kBytes = kEntries * sizeof(uint64_t);
  // Address space from the kernel. False when there is none.
  bool create() {
    words_ = static_cast<std::atomic<uint64_t>*>(sys::map_anonymous(kBytes));
    for (std::atomic<uint32_t>& count : counts_) count.store(0, std::memory_order_relaxed);
    return words_ != nullptr;
  }
  // Forgets everything, in a forked child: what the parent published is the parent's.
  // Takes no address space: there may be none left.
  bool renew() {
    constexpr int kDontNeed = 4;  // MADV_DONTNEED: private memory is zero again
    for (std::atomic<uint32_t>& count : counts_) count.store(0, std::memory_order_relaxed);
    if (words_ != nullptr && sys::advise(words_, kBytes, kDontNeed) == 0) return true;
    sys::unmap(words_, kBytes);
    return create();
  }

  // Forgets everything while other threads may be using it.
  void forget() {
    sys::advise(words_, kBytes, MADV_DONTNEED);
    for (std::atomic<uint32_t>& count : counts_) count.store(0, std::memory_order_relaxed);
  }

  bool contains(uint64_t hash) const {
    const uint64_t entry = entry_of(hash);
    size_t offset = 0;
    for (size_t level = 0; level < kLevels; ++level) {
      for (size_t probe = 0; probe < kMaxProbes; ++probe) {
        const uint64_t word = at(level, offset, hash, probe).load(std::memory_order_relaxed);
        if (word == entry) return true;
        if (word == 0) break;
      }
      // Nothing is put into a level before the one below it is full.
      if (counts_[level].load(std::memory_order_relaxed) < room_of(level)) return false;
      offset += size_of(level);
    }
    return false;
  }

  void insert(uint64_t hash) {
    const uint64_t entry = entry_of(hash);
    size_t offset = 0;
    for (size_t level = 0; level < kLevels; ++level) {
      if (counts_[level].load(std::memory_order_relaxed) < room_of(level)) {
        for (size_t probe = 0; probe < kMaxProbes; ++probe) {
          uint64_t word = 0;
          if (at(level, offset, hash, probe)
                  .compare_exchange_strong(word, entry, std::memory_order_relaxed)) {
            counts_[level].fetch_add(1, std::memory_order_relaxed);
            return;
          }
          if (word == entry) return;
        }
        // A crowded neighbourhood: this level counts as full from now on, so that lookups go on.
        counts_[level].store(room_of(level), std::memory_order_relaxed);
      }
      offset += size_of(level);
    }
    // Full: in the place of another, which will be published once more when it comes again.
    const size_t last = kLevels - 1;
    const size_t replaced = (hash >> 24) % kReplaced;
    for (size_t probe = 0; probe <= replaced; ++probe) {
      std::atomic<uint64_t>& word = at(last, offset - size_of(last), hash, probe);
      // Lookups end at an empty place, so none may be passed over.
      if (probe != replaced && word.load(std::memory_order_relaxed) != 0) continue;
      word.store(entry, std::memory_order_relaxed);
      return;
    }
  }

 private:
  static constexpr size_t kMaxProbes = 64;
  static constexpr size_t kReplaced = 8;  // among so many entries one gives way
  static constexpr size_t size_of(size_t level) {
    constexpr size_t kBits[kLevels] = {14, 17, 19, 21};
    return size_t{1} << kBits[level];
  }
  // A search for what is not there looks at some 8 entries of a full level; at 7/8, at 32.
  static constexpr uint32_t room_of(size_t level) {
    return static_cast<uint32_t>(size_of(level) / 4 * 3);
  }
  // 0 is an empty place.
  static constexpr uint64_t entry_of(uint64_t hash) { return hash == 0 ? 1 : hash; }
  std::atomic<uint64_t>& at(size_t level, size_t offset, uint64_t hash, size_t probe) const {
    return words_[offset + ((hash + probe) & (size_of(level) - 1))];
  }

  std::atomic<uint64_t>* words_ = nullptr;
  std::atomic<uint32_t> counts_[kLevels]{};
};

}  // namespace tidemark::stack
