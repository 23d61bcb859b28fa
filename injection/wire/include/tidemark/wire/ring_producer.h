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
// With kNestedAttempt it must not sleep, only count the loss: see reserve_nested().
using WaitForRoom = bool (*)(RingHeader* ring, uint32_t released, uint32_t attempt);
inline constexpr uint32_t kNestedAttempt = ~uint32_t{0};

class RingProducer {
 public:
  constexpr RingProducer() = default;

  void attach(RingHeader* ring, uint8_t* data) {
    ring_ = ring;
    data_ = data;
    head_ = ring->head.load(std::memory_order_relaxed);
    tail_ = head_;
    depth_ = 0;
    torn_.end = 0;
    half_full_rung_ = false;
  }
  void detach() { ring_ = nullptr; }
  bool attached() const { return ring_ != nullptr; }
  RingHeader* ring() const { return ring_; }

  // Room for `bytes` (a multiple of 8), or nullptr when there is none and `wait` gave up. Its
  // Header has `bytes` set and reads as padding until commit() sets the type. Each non-null answer
  // needs one commit().
  [[gnu::always_inline]] uint8_t* reserve(uint32_t bytes, WaitForRoom wait) {
    if (__builtin_expect(++depth_ != 1, 0)) return reserve_nested(bytes, wait);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    uint32_t attempt = 0;
    for (;;) {
      const Room room = next_room(bytes);
      if (__builtin_expect(room.end - tail_ > kRingDataBytes, 0)) {
        const uint32_t released = ring_->released.load(std::memory_order_acquire);
        tail_ = ring_->tail.load(std::memory_order_acquire);
        if (room.end - tail_ > kRingDataBytes) {
          if (wait(ring_, released, attempt++)) continue;
          --depth_;
          return nullptr;
        }
      }
      if (take(room)) return start(room, bytes);  // else a signal handler was faster
    }
  }

  // Publishes a filled record (its Header::type still kPad) and whatever nested in it. True when
  // the ring has just become half full: the collector should be woken.
  [[gnu::always_inline]] bool commit(uint8_t* record, RecordType type) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::memcpy(record, &type, sizeof type);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (__builtin_expect(depth_ != 1, 0)) {
      --depth_;
      return false;
    }
    // Published before a handler can publish by itself, so that `head` never goes back; again if
    // one has reserved in between, without publishing.
    uint64_t head = head_;
    for (;;) {
      ring_->head.store(head, std::memory_order_release);
      std::atomic_signal_fence(std::memory_order_seq_cst);
      depth_ = 0;
      std::atomic_signal_fence(std::memory_order_seq_cst);
      if (__builtin_expect(head_ == head, 1)) break;
      depth_ = 1;
      std::atomic_signal_fence(std::memory_order_seq_cst);
      head = head_;
    }
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
  // The writers that are still underway will never come back: a signal handler left them by
  // longjmp. What they had begun stays padding, the rest is published.
  void forget_writers() {
    if (torn_.end != 0 && head_ != torn_.begin) write_pads(torn_.begin, torn_.end);
    torn_.end = 0;
    depth_ = 0;
    if (ring_ != nullptr) ring_->head.store(head_, std::memory_order_release);
  }

 private:
  struct Room {
    uint64_t begin;  // what does not fit before the end of the data is padding
    uint64_t end;
  };
  [[gnu::always_inline]] Room next_room(uint32_t bytes) const {
    const uint64_t head = head_;
    const uint64_t contiguous = kRingDataBytes - (head & (kRingDataBytes - 1));
    return {head, head + (bytes <= contiguous ? 0 : contiguous) + bytes};
  }
  // Between its being reserved and its reading as padding, a room holds old bytes: `torn_` says
  // where, for forget_writers().
  [[gnu::always_inline]] bool take(const Room& room) {
    torn_.begin = room.begin;
    torn_.end = room.end;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return compare_exchange_local(&head_, room.begin, room.end);
  }
  [[gnu::always_inline]] uint8_t* start(const Room& room, uint32_t bytes) {
    if (__builtin_expect(room.end - room.begin != bytes, 0)) {
      write_pad(data_ + (room.begin & (kRingDataBytes - 1)),
                static_cast<uint32_t>(room.end - room.begin - bytes));
    }
    uint8_t* at = data_ + ((room.end - bytes) & (kRingDataBytes - 1));
    write_pad(at, bytes);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    torn_.end = 0;
    return at;
  }
  // In a signal handler that interrupted a writer. It can only wait for room where all that the
  // ring holds is published: when the writer itself is waiting.
  [[gnu::noinline]] uint8_t* reserve_nested(uint32_t bytes, WaitForRoom wait) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    Room torn = torn_;
    if (torn.begin == head_) torn.end = 0;  // not reserved yet, and then not there any more
    uint32_t attempt = 0;
    for (;;) {
      const Room room = next_room(bytes);
      const uint32_t released = ring_->released.load(std::memory_order_acquire);
      tail_ = ring_->tail.load(std::memory_order_acquire);
      if (room.end - tail_ > kRingDataBytes) {
        const bool published = ring_->head.load(std::memory_order_relaxed) == head_;
        if (wait(ring_, released, published ? attempt++ : kNestedAttempt)) continue;
        --depth_;
        return nullptr;
      }
      if (!take(room)) continue;
      uint8_t* at = start(room, bytes);
      torn_ = torn;
      return at;
    }
  }
  void write_pads(uint64_t begin, uint64_t end) {
    const uint64_t position = begin & (kRingDataBytes - 1);
    const uint64_t contiguous = kRingDataBytes - position;
    const uint64_t first = end - begin < contiguous ? end - begin : contiguous;
    write_pad(data_ + position, static_cast<uint32_t>(first));
    if (first != end - begin) write_pad(data_, static_cast<uint32_t>(end - begin - first));
  }
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

  Room torn_{0, 0};  // end 0: none
  RingHeader* ring_ = nullptr;
  uint8_t* data_ = nullptr;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
  uint32_t depth_ = 0;
  bool half_full_rung_ = false;
};

static_assert((kRingDataBytes & (kRingDataBytes - 1)) == 0, "positions are taken by masking");

}  // namespace tidemark::wire
