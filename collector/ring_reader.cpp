#include "ring_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "arena.h"

namespace tidemark::collector {
namespace {

// Of what is put aside: few allocations, little that is held twice while it is handed on.
constexpr size_t kFirstBlockBytes = size_t{64} << 10;
constexpr size_t kBlockBytes = size_t{1} << 20;
constexpr size_t kKeptBlocks = 4;
// A queue that has been larger is given back when it is needed no more.
constexpr size_t kKeptBytes = size_t{4} << 20;

}  // namespace

std::byte* RecordQueue::prepare(size_t bytes) {
  const size_t held = end_ - begin_;
  const bool too_large = capacity_ > kKeptBytes && held + bytes < capacity_ / 8;
  if (held + bytes > capacity_ || too_large) {
    const size_t needed = (held + bytes + 4095) / 4096 * 4096;
    const size_t capacity =
        std::max(needed, too_large ? kKeptBytes : std::min(2 * capacity_, capacity_ + kKeptBytes));
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

void RingReader::put_aside(uint64_t bytes) {
  if (aside_.empty() || aside_.back().capacity - aside_.back().size < bytes) {
    const size_t least = aside_.empty() ? kFirstBlockBytes : kBlockBytes;
    const size_t capacity = std::max<size_t>(bytes, least);
    if (!spare_.empty() && spare_.back().capacity >= bytes) {
      aside_.push_back(std::move(spare_.back()));
      spare_.pop_back();
    } else {
      aside_.push_back({std::make_unique_for_overwrite<std::byte[]>(capacity), capacity, 0});
    }
  }
  Block& block = aside_.back();
  std::byte* to = block.bytes.get() + block.size;
  const uint64_t from = tail_ % data_bytes_;
  const uint64_t first = std::min(bytes, data_bytes_ - from);
  std::memcpy(to, data_ + from, first);
  std::memcpy(to + first, data_, bytes - first);
  block.size += bytes;
  aside_bytes_ += bytes;
}

void RingReader::take() {
  const uint64_t head = header_->head.load(std::memory_order_acquire);
  const uint64_t available = head - tail_;
  // What cannot be is left to the drain, which counts it.
  if (available == 0 || available > data_bytes_ || head % 8 != 0) return;
  put_aside(available);
  release_to(head);
}

void RingReader::collect(Losses& losses) {
  take();
  const uint64_t head = header_->head.load(std::memory_order_acquire);
  if (head - tail_ > data_bytes_ || head % 8 != 0) {
    losses.add("invalid_records", trace::Severity::kDataLoss);
    release_to(head & ~uint64_t{7});
  }
  spare_ = std::exchange(used_, {});
  collected_ = std::exchange(aside_, {});
  collected_bytes_ = std::exchange(aside_bytes_, 0);
}

uint64_t RingReader::hand_on(Losses& losses, const std::function<void()>& meanwhile) {
  if (!held_) brought_ = 0;
  held_ = false;
  brought_process_start_ = false;
  const size_t bytes = collected_bytes_;
  std::byte* to = queue_.prepare(bytes);
  for (Block& block : collected_) {
    std::memcpy(to, block.bytes.get(), block.size);
    collected_bytes_ -= block.size;
    const size_t valid = check(to, block.size, losses);
    queue_.publish(valid);
    to += valid;
    if (used_.size() < kKeptBlocks) {
      used_.push_back({std::move(block.bytes), block.capacity, 0});
    } else {
      block.bytes.reset();
    }
    if (meanwhile) meanwhile();
  }
  collected_.clear();
  return bytes;
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
