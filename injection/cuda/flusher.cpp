#include "flusher.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

namespace tidemark::cuda {

namespace {

void wait_while(const std::atomic<uint32_t>& word, uint32_t value, uint32_t milliseconds) {
  const timespec timeout{static_cast<time_t>(milliseconds / 1000),
                         static_cast<long>(milliseconds % 1000) * 1'000'000};
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, &timeout, nullptr, 0);
}

void set_and_wake(std::atomic<uint32_t>& word, uint32_t value) {
  word.store(value);
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr, 0);
}

uint64_t milliseconds_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

}  // namespace

void Flusher::start() {
  if (started_.exchange(true)) return;
  const Pause pause(client_);  // the thread's stack and its thread-local memory
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, size_t{1} << 20);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  ended_.store(0);
  pthread_t thread{};
  if (pthread_create(&thread, &attributes, &Flusher::run, this) != 0) {
    ended_.store(1);
    client_.meta("cuda.flush",
                 "no thread could be started: device records come when CUPTI's "
                 "buffers are full, and at exit");
  }
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

bool Flusher::stop() {
  constexpr uint32_t kLongestMs = 2000;
  set_and_wake(stopping_, 1);
  const uint64_t deadline = milliseconds_now() + kLongestMs;
  while (ended_.load() == 0) {
    const uint64_t now = milliseconds_now();
    if (now >= deadline) return false;
    wait_while(ended_, 0, static_cast<uint32_t>(deadline - now));
  }
  return true;
}

void* Flusher::run(void* self_pointer) {
  auto& self = *static_cast<Flusher*>(self_pointer);
  prctl(PR_SET_NAME, "tidemark-cuda", 0, 0, 0);
  const Pause pause(self.client_);  // whatever is allocated on this thread is ours or CUPTI's
  uint64_t next = milliseconds_now() + kPeriodMs;
  while (self.stopping_.load() == 0) {
    const uint64_t now = milliseconds_now();
    if (now < next) {
      wait_while(self.stopping_, 0, static_cast<uint32_t>(next - now));
      continue;
    }
    self.work_();
    next = milliseconds_now() + kPeriodMs;
  }
  set_and_wake(self.ended_, 1);
  return nullptr;
}

}  // namespace tidemark::cuda
