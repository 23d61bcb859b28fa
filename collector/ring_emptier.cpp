#include "ring_emptier.h"

#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <system_error>

namespace tidemark::collector {
namespace {

// A thread that does nothing but allocate fills a ring in a millisecond.
constexpr std::chrono::microseconds kBetween{400};

}  // namespace

RingEmptier::~RingEmptier() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  active_.store(true);
  active_.notify_one();
  thread_.join();
}

void RingEmptier::resume() {
  if (active_.exchange(true)) return;
  active_.notify_one();
  if (tried_) return;
  tried_ = true;
  // Signals are for the recorder's main thread, which forwards them.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {
    // A limit of threads.
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void RingEmptier::run() {
  pthread_setname_np(pthread_self(), "rings");
  for (;;) {
    active_.wait(false);
    if (stopping_.load()) return;
    empty_();
    std::this_thread::sleep_for(kBetween);
  }
}

}  // namespace tidemark::collector
