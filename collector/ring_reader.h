// Takes published bytes out of one ring and hands them on as checked records.
//
// Guarantees
//  1. What it hands on lies in private memory and has passed check_record(): a target that
//  scribbles
//     on its ring later, or while it is read, changes nothing.
//  2. It reads only inside the ring, whatever head says, and trusts its own copy of tail only.
//  3. After garbage it drops what was published so far, counts it as loss `invalid_records`, and
//     goes on with what is published next.
//  4. Every drain moves tail to head and wakes a waiting producer.
//
// Emptying a ring is not tied to using what it held: take() puts it aside unseen, so that the
// producer can go on while the records of the last drain are still being worked on. Another thread
// may do so: take(), aside() and empty() then need a lock that collect() is called under, too;
// hand_on() and the queue are the one thread's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "check_record.h"
#include "losses.h"
#include "tick_clock.h"
#include "tidemark/wire/layout.h"
#include "tidemark/wire/records.h"

namespace tidemark::collector {

// Records in private memory, oldest first: [begin, fresh) was held back by an earlier pass, [fresh,
// end) came with the last drain. Offsets in bytes.
class RecordQueue {
 public:
  [[nodiscard]] const wire::Header& at(size_t offset) const {
    return *reinterpret_cast<const wire::Header*>(reinterpret_cast<const std::byte*>(words_.get()) +
                                                  offset);
  }
  [[nodiscard]] size_t begin() const { return begin_; }
  [[nodiscard]] size_t fresh() const { return fresh_; }
  [[nodiscard]] size_t end() const { return end_; }
  [[nodiscard]] bool empty() const { return begin_ == end_; }

  // Everything before `offset` has been used.
  void consume_to(size_t offset) { begin_ = offset; }

  // Makes room behind the held-back records, which become the front; returns where to copy to.
  std::byte* prepare(size_t bytes);
  void publish(size_t bytes) { end_ += bytes; }
  // The next drain's records join those of the last one as fresh.
  void hold() { held_fresh_ = true; }

 private:
  std::unique_ptr<uint64_t[]> words_;
  size_t capacity_ = 0;  // bytes
  size_t begin_ = 0;
  size_t fresh_ = 0;
  size_t end_ = 0;
  bool held_fresh_ = false;
};

class RingReader {
 public:
  // `header` and `data` must stay mapped. The slot must be live or closed. `clock` turns the ticks
  // of heap events into nanoseconds; without one they are such.
  RingReader(wire::RingHeader& header, const std::byte* data, uint64_t data_bytes,
             TickClock* clock = nullptr)
      : header_(&header), data_(data), data_bytes_(data_bytes), clock_(clock) {}

  // Empties the ring for the next collect().
  void take();
  // Bytes taken and not collected.
  [[nodiscard]] size_t aside() const { return aside_bytes_; }
  // All that has been published by now is what the next hand_on() puts into the queue.
  void collect(Losses& losses);
  // Returns the bytes collected. `meanwhile` is called now and then.
  uint64_t hand_on(Losses& losses, const std::function<void()>& meanwhile = {});
  uint64_t drain(Losses& losses) {
    collect(losses);
    return hand_on(losses);
  }
  // Collected and not used yet, but for what a pass says it has used, up to `cursor`.
  [[nodiscard]] size_t unused(size_t cursor) const {
    return collected_bytes_ + queue_.end() - std::max(queue_.begin(), cursor);
  }
  // Nothing waits, neither in the queue nor aside.
  [[nodiscard]] bool empty() const { return queue_.empty() && aside_.empty(); }
  [[nodiscard]] RecordQueue& queue() { return queue_; }
  [[nodiscard]] const RecordQueue& queue() const { return queue_; }
  // Nothing of the queue was used in this pass: all of it counts as fresh in the next.
  void hold() {
    queue_.hold();
    held_ = true;
  }
  // Whether the last drain brought any record of the class.
  [[nodiscard]] bool brought(RecordClass kind) const {
    return (brought_ >> static_cast<unsigned>(kind) & 1U) != 0;
  }
  [[nodiscard]] bool brought_process_start() const { return brought_process_start_; }
  [[nodiscard]] uint64_t bytes_taken() const { return tail_; }

 private:
  // Whole records, as long as the producer does not scribble.
  struct Block {
    std::unique_ptr<std::byte[]> bytes;
    size_t capacity = 0;
    size_t size = 0;
  };
  void release_to(uint64_t head);
  void put_aside(uint64_t bytes);
  // How many of the bytes at `bytes` are whole valid records.
  size_t check(std::byte* bytes, size_t count, Losses& losses);

  wire::RingHeader* header_;
  const std::byte* data_;
  uint64_t data_bytes_;
  TickClock* clock_;
  uint64_t tail_ = 0;
  std::vector<Block> aside_;  // oldest first
  size_t aside_bytes_ = 0;
  std::vector<Block> collected_;
  size_t collected_bytes_ = 0;
  std::vector<Block> used_;   // some of those that were handed on, …
  std::vector<Block> spare_;  // … to be filled again: memory that need not be touched first
  RecordQueue queue_;
  unsigned brought_ = 0;
  bool brought_process_start_ = false;
  bool held_ = false;
};

}  // namespace tidemark::collector
