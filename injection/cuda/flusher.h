// A thread that fetches, twice a second, what CUPTI has finished.
//
// Why a thread: CUPTI's own periodic flush (cuptiActivityFlushPeriod) hands out full buffers only,
// and a buffer may take minutes to fill. cuptiActivityFlushAll(0) hands out every buffer whose
// records are all complete, and NVIDIA's header recommends it "at a regular interval in a separate
// thread". Flushing at the program's own synchronizing calls instead would delay the program.
//
// What a kill can lose therefore: kernels, copies and sets that ended in the last half second, and
// those in buffers that also hold unfinished work. Their Launch records are already with the
// collector, which can count launches that nothing followed. Allocations and frees are never lost:
// they are published in the calls themselves.
//
// The thread starts with the first context (a program that only asks for the device count gets
// none), has every signal blocked, and touches neither CUPTI nor the driver in its first period.
#pragma once

#include <atomic>
#include <cstdint>

#include "tidemark/wire/client.h"

namespace tidemark::cuda {

class Flusher {
 public:
  using Work = void (*)();
  static constexpr uint32_t kPeriodMs = 500;

  Flusher(const wire::Client& client, Work work) : client_(client), work_(work) {}

  void start();  // again: nothing
  // Waits until the thread is outside `work`, at most two seconds: exit() may have been called on
  // a thread that holds what `work` waits for. False: it is still inside.
  bool stop();

 private:
  static void* run(void* self);

  const wire::Client& client_;
  const Work work_;
  std::atomic<bool> started_{false};
  std::atomic<uint32_t> stopping_{0};
  std::atomic<uint32_t> ended_{1};
};

}  // namespace tidemark::cuda
