#include "ring_reader.h"

#include <algorithm>
#include <cstring>

#include "arena.h"

namespace tidemark::collector {

std::byte* RecordQueue::prepare(size_t bytes) {
  const size_t held = end_ - begin_;
  if (held + bytes > capacity_) {
    const size_t capacity = std::max(2 * capacity_, (held + bytes + 4095) / 4096 * 4096);
    auto larger = std::make_unique_for_overwrite<uint64_t[]>(capacity / sizeof(uint64_t));
    if (held != 0) {
      std::memcpy(larger.get(), reinterpret_cast<std::byte*>(words_.get()) + begin_, held);
    }
    words_ = std::move(larger);
    capacity_ = capacity;
  } else if (begin_ != 0 && held != 0) {
    auto* bytes_begin = reinterpret_cast<std::byte*>(words_.get());
    std::memmove(bytes_begin, bytes_begin + begin_, held);
  }
  begin_ = 0;
  fresh_ = held_fresh_ ? 0 : held;
  held_fresh_ = false;
  end_ = held;
  return reinterpret_cast<std::byte*>(words_.get()) + held;
}

uint64_t RingReader::drain(Losses& losses) {
  if (!held_) brought_ = 0;
  held_ = false;
  brought_process_start_ = false;
  const uint64_t head = header_->head.load(std::memory_order_acquire);
  const uint64_t available = head - tail_;
  if (available == 0) {
    queue_.prepare(0);
    return 0;
  }
  if (available > data_bytes_ || head % 8 != 0) {
    losses.add("invalid_records", trace::Severity::kDataLoss);
    queue_.prepare(0);
    release_to(head & ~uint64_t{7});
    return 0;
  }
  std::byte* to = queue_.prepare(available);
  const uint64_t from = tail_ % data_bytes_;
  const uint64_t first = std::min(available, data_bytes_ - from);
  std::memcpy(to, data_ + from, first);
  std::memcpy(to + first, data_, available - first);
  release_to(head);
  queue_.publish(check(to, available, losses));
  return available;
}

void RingReader::release_to(uint64_t head) {
  tail_ = head;
  // Sequentially consistent with the producer's "waiting = 1, then look at tail again": one of the
  // two sees the other, so that no producer sleeps beside an empty ring.
  header_->tail.store(head, std::memory_order_seq_cst);
  header_->released.fetch_add(1, std::memory_order_seq_cst);
  if (header_->waiting.load(std::memory_order_seq_cst) != 0) futex_wake_all(header_->released);
}

size_t RingReader::check(std::byte* bytes, size_t count, Losses& losses) {
  size_t offset = 0;
  while (offset < count) {
    const Check verdict = check_record(bytes + offset, count - offset);
    if (verdict == Check::kGarbage) {
      losses.add("invalid_records", trace::Severity::kDataLoss);
      losses.add("invalid_record_bytes", trace::Severity::kDataLoss, count - offset);
      return offset;
    }
    auto& header = *reinterpret_cast<wire::Header*>(bytes + offset);
    if (clock_ != nullptr && (header.type == wire::RecordType::kHeapAlloc ||
                              header.type == wire::RecordType::kHeapFree)) {
      header.time_ns = clock_->to_ns(header.time_ns);
    }
    if (verdict == Check::kUnknownType) {
      losses.add("invalid_records", trace::Severity::kDataLoss);
    } else {
      brought_ |= 1U << static_cast<unsigned>(classify(header.type));
      brought_process_start_ |= header.type == wire::RecordType::kProcessStart;
    }
    offset += header.bytes;
  }
  return offset;
}

}  // namespace tidemark::collector
