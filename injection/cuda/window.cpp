#include "window.h"

namespace tidemark::cuda {
namespace {

void lower(std::atomic<uint32_t>& word, uint32_t value) {
  uint32_t seen = word.load(std::memory_order_relaxed);
  while (value < seen && !word.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

void raise(std::atomic<uint32_t>& word, uint32_t value) {
  uint32_t seen = word.load(std::memory_order_relaxed);
  while (value > seen && !word.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

}  // namespace

bool Window::enter(uint32_t correlation) {
  if (always()) return true;
  const uint64_t now_ns = client_.now_ns();
  if (now_ns < arena_.window_begin_ns.load(std::memory_order_acquire) ||
      now_ns >= arena_.window_end_ns.load(std::memory_order_acquire)) {
    return false;
  }
  lower(first_, correlation);
  raise(last_, correlation);
  return true;
}

bool Window::may_hold(uint32_t correlation) const {
  return always() || (first_.load(std::memory_order_relaxed) <= correlation &&
                      correlation <= last_.load(std::memory_order_relaxed));
}

}  // namespace tidemark::cuda
