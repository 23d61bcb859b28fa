// A thread that empties rings while the recorder's main thread is busy with what they held before:
// a ring is full after a millisecond, a pass or the encoding of a chunk may take longer, and
// meanwhile the recorded threads would wait. It sleeps as long as passes are short.
//
// resume() and pause() are the main thread's; `empty` runs on the thread of its own.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace tidemark::collector {

class RingEmptier {
 public:
  explicit RingEmptier(std::function<void()> empty) : empty_(std::move(empty)) {}
  ~RingEmptier();
  RingEmptier(const RingEmptier&) = delete;
  RingEmptier& operator=(const RingEmptier&) = delete;

  // Calls `empty` again and again from now on. The first call makes the thread; where the system
  // grants none, the main thread does what it can alone.
  void resume();
  void pause() { active_.store(false, std::memory_order_relaxed); }

 private:
  void run();

  std::function<void()> empty_;
  std::atomic<bool> active_{false};
  std::atomic<bool> stopping_{false};
  bool tried_ = false;
  std::thread thread_;
};

}  // namespace tidemark::collector
