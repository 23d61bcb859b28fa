// A set of 64-bit hashes, shared by all threads without a lock: which stacks and names have been
// published already. Takes memory as it fills: 128 KB for a small program, at most 20 MB, for some
// 1.3 million. When it is full, old ones give way to new ones, and are published again when they
// come again.
//
// Levels of growing size, each the successor of the one before: when one is full, the next takes
// all that is new, and with each of them a few of those of the level before, until that is empty.
// So a search is one place of memory, not one of each level: most searches of a program that starts
// are for stacks that nobody has seen yet. A search that misses what another thread is just moving
// makes a stack be published twice, no more.
//
// The whole of each hash is kept. A part of it is not enough: a run of minutes looks up 10^8 of
// them, and what is wrongly taken for known is never published, which leaves an event without its
// stack.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "tidemark/stack/syscalls.h"

namespace tidemark::stack {

class SeenSet {
  static constexpr size_t kLevels = 4;
  static constexpr size_t kPlaces = (1U << 14) + (1U << 17) + (1U << 19) + (1U << 21);

 public:
  static constexpr size_t kBytes = kPlaces * sizeof(uint64_t);
  // Address space from the kernel. False when there is none.
  bool create() {
    words_ = static_cast<std::atomic<uint64_t>*>(sys::map_anonymous(kBytes));
    restart();
    return words_ != nullptr;
  }
  // Forgets everything, in a forked child: what the parent published is the parent's.
  // Takes no address space: there may be none left.
  bool renew() {
    restart();
    if (words_ != nullptr && sys::advise(words_, kBytes, MADV_DONTNEED) == 0) return true;
    sys::unmap(words_, kBytes);
    return create();
  }

  // Forgets everything while other threads may be using it.
  void forget() {
    sys::advise(words_, kBytes, MADV_DONTNEED);
    restart();
  }

  bool contains(uint64_t hash) const {
    const uint64_t entry = entry_of(hash);
    const size_t level = level_.load(std::memory_order_relaxed);
    if (holds(level, entry)) return true;
    return level > 0 && moved_[level].load(std::memory_order_relaxed) < size_of(level - 1) &&
           holds(level - 1, entry);
  }

  void insert(uint64_t hash) {
    const size_t level = level_.load(std::memory_order_relaxed);
    if (level > 0) move_some(level);
    put(entry_of(hash));
  }

 private:
  static constexpr size_t kMaxProbes = 256;  // a run of so many is not met at 5/8
  static constexpr size_t kReplaced = 8;     // among so many entries one gives way
  static constexpr size_t kMovedAtOnce =
      4;  // so a level is empty long before its successor is full
  static constexpr size_t size_of(size_t level) {
    constexpr size_t kBits[kLevels] = {14, 17, 19, 21};
    return size_t{1} << kBits[level];
  }
  static constexpr size_t offset_of(size_t level) {
    return level == 0 ? 0 : offset_of(level - 1) + size_of(level - 1);
  }
  // At 5/8 a search for what is not there looks at 4 places.
  static constexpr uint32_t room_of(size_t level) {
    return static_cast<uint32_t>(size_of(level) / 8 * 5);
  }
  // 0 is an empty place.
  static constexpr uint64_t entry_of(uint64_t hash) { return hash == 0 ? 1 : hash; }
  std::atomic<uint64_t>& at(size_t level, uint64_t entry, size_t probe) const {
    constexpr size_t kOffset[kLevels] = {offset_of(0), offset_of(1), offset_of(2), offset_of(3)};
    return words_[kOffset[level] + ((entry + probe) & (size_of(level) - 1))];
  }

  void restart() {
    level_.store(0, std::memory_order_relaxed);
    for (std::atomic<uint32_t>& moved : moved_) moved.store(0, std::memory_order_relaxed);
    for (std::atomic<uint32_t>& count : counts_) count.store(0, std::memory_order_relaxed);
  }

  bool holds(size_t level, uint64_t entry) const {
    for (size_t probe = 0; probe < kMaxProbes; ++probe) {
      const uint64_t word = at(level, entry, probe).load(std::memory_order_relaxed);
      if (word == entry) return true;
      if (word == 0) return false;
    }
    return false;
  }

  void put(uint64_t entry) {
    size_t level = level_.load(std::memory_order_relaxed);
    while (counts_[level].load(std::memory_order_relaxed) >= room_of(level)) {
      if (level + 1 == kLevels) return put_in_place_of_another(level, entry);
      uint32_t full = static_cast<uint32_t>(level++);
      level_.compare_exchange_strong(full, full + 1, std::memory_order_relaxed);
    }
    for (size_t probe = 0; probe < kMaxProbes; ++probe) {
      uint64_t word = 0;
      if (at(level, entry, probe).compare_exchange_strong(word, entry, std::memory_order_relaxed)) {
        counts_[level].fetch_add(1, std::memory_order_relaxed);
        return;
      }
      if (word == entry) return;
    }
    put_in_place_of_another(level, entry);
  }

  void put_in_place_of_another(size_t level, uint64_t entry) {
    const size_t replaced = (entry >> 24) % kReplaced;
    for (size_t probe = 0; probe <= replaced; ++probe) {
      std::atomic<uint64_t>& word = at(level, entry, probe);
      // Searches end at an empty place, so none may be passed over.
      if (probe != replaced && word.load(std::memory_order_relaxed) != 0) continue;
      word.store(entry, std::memory_order_relaxed);
      return;
    }
  }

  // The next few places of the level before.
  void move_some(size_t level) {
    const size_t size = size_of(level - 1);
    if (moved_[level].load(std::memory_order_relaxed) >= size) return;
    const size_t first = moved_[level].fetch_add(kMovedAtOnce, std::memory_order_relaxed);
    if (first >= size) return;  // another thread was quicker
    std::atomic<uint64_t>* const places = &at(level - 1, 0, 0);
    for (size_t i = first; i < first + kMovedAtOnce; ++i) {
      const uint64_t entry = places[i].load(std::memory_order_relaxed);
      if (entry != 0) put(entry);
    }
    if (first + kMovedAtOnce == size) sys::advise(places, size * sizeof(uint64_t), MADV_DONTNEED);
  }

  std::atomic<uint64_t>* words_ = nullptr;
  std::atomic<uint32_t> level_{0};
  std::atomic<uint32_t> moved_[kLevels]{};  // so many places of the level before were looked at
  std::atomic<uint32_t> counts_[kLevels]{};
};

}  // namespace tidemark::stack
