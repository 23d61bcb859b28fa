// The writing end of one ring. Owned by one thread; a signal handler that interrupts the thread may
// use it too (its records complete before the interrupted one goes on, so publishing nests).
//
//   head_ (reserved) ───────────────┐          A record is reserved by moving head_ in one
//   header->head (published) ──┐    │          instruction, filled, and published by the outermost
//   header->tail (taken) ─┐    │    │          writer on this thread, with everything that nested.
//                         ▼    ▼    ▼
//   … free ………………… │ taken? │ records │ being written │ free …
//
// Freestanding: no exceptions, no heap, no libstdc++ symbols.
#pragma once

#include <cstdint>
#include <cstring>

#include "tidemark/wire/layout.h"
#include "tidemark/wire/records.h"

namespace tidemark::wire {

// Called while the ring is full, until it returns false: "give up". It sleeps while ring->released
// is still `released`, which was read before the ring was found full: no wake-up can be missed.
using WaitForRoom = bool (*)(RingHeader* ring, uint32_t released, uint32_t attempt);

class RingProducer {
 public:
  constexpr RingProducer() = default;

  void attach(RingHeader* ring, uint8_t* data) {
    ring_ = ring;
    data_ = data;
    head_ = ring->head.load(std::memory_order_relaxed);
    tail_ = head_;
    depth_ = 0;
    half_full_rung_ = false;
  }
  void detach() { ring_ = nullptr; }
  bool attached() const { return ring_ != nullptr; }
  RingHeader* ring() const { return ring_; }

  // Room for `bytes` (a multiple of 8), or nullptr when there is none and `wait` gave up. Its
  // Header has `bytes` set and reads as padding until commit() sets the type. Each non-null answer
  // needs one commit().
  [[gnu::always_inline]] uint8_t* reserve(uint32_t bytes, WaitForRoom wait) {
    ++depth_;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    uint32_t attempt = 0;
    for (;;) {
      uint64_t head = head_;
      const uint64_t position = head & (kRingDataBytes - 1);
      const uint64_t contiguous = kRingDataBytes - position;
      const uint64_t pad = bytes <= contiguous ? 0 : contiguous;
      const uint64_t next = head + pad + bytes;
      if (next - tail_ > kRingDataBytes) {
        const uint32_t released = ring_->released.load(std::memory_order_acquire);
        tail_ = ring_->tail.load(std::memory_order_acquire);
        if (next - tail_ > kRingDataBytes) {
          // A record that a signal handler left by longjmp would keep the rest from being
          // published, and us waiting for ever: let the reader have all, the torso is padding.
          ring_->head.store(head_, std::memory_order_release);
          if (wait(ring_, released, attempt++)) continue;
          --depth_;
          return nullptr;
        }
      }
      if (!compare_exchange_local(&head_, head, next)) continue;  // a signal handler was faster
      if (pad != 0) write_pad(data_ + position, static_cast<uint32_t>(pad));
      uint8_t* room = data_ + ((head + pad) & (kRingDataBytes - 1));
      write_pad(room, bytes);
      return room;
    }
  }

  // Publishes a filled record (its Header::type still kPad) and whatever nested in it. True when
  // the ring has just become half full: the collector should be woken.
  [[gnu::always_inline]] bool commit(uint8_t* record, RecordType type) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::memcpy(record, &type, sizeof type);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (--depth_ != 0) return false;
    const uint64_t head = head_;
    ring_->head.store(head, std::memory_order_release);
    const bool half_full = head - tail_ > kRingDataBytes / 2;
    if (!half_full) {
      half_full_rung_ = false;
      return false;
    }
    tail_ = ring_->tail.load(std::memory_order_acquire);
    if (head - tail_ <= kRingDataBytes / 2 || half_full_rung_) return false;
    half_full_rung_ = true;
    return true;
  }

  bool nested() const { return depth_ != 0; }

 private:
  static void write_pad(uint8_t* at, uint32_t bytes) {
    const Header pad{RecordType::kPad, 0, bytes, 0};
    // A remainder of 8 bytes cannot hold a Header; its first 8 bytes are all a reader looks at.
    std::memcpy(at, &pad, 8);
  }

  // Atomic against this thread's own signal handlers only, hence without the lock prefix.
  static bool compare_exchange_local(uint64_t* value, uint64_t expected, uint64_t desired) {
#if defined(__x86_64__)
    bool equal;
    asm volatile("cmpxchgq %[desired], %[value]"
                 : "=@ccz"(equal), [value] "+m"(*value), "+a"(expected)
                 : [desired] "r"(desired)
                 : "memory");
    return equal;
#else
    return __atomic_compare_exchange_n(value, &expected, desired, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
#endif
  }

  RingHeader* ring_ = nullptr;
  uint8_t* data_ = nullptr;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
  uint32_t depth_ = 0;
  bool half_full_rung_ = false;
};

static_assert((kRingDataBytes & (kRingDataBytes - 1)) == 0, "positions are taken by masking");

}  // namespace tidemark::wire
