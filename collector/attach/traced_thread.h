// One thread of another process, stopped by us. Lets go of it when destroyed, as it then is: the
// thread runs on. All calls come from the system thread that stopped it.
//
// Whatever is set while it is stopped must leave it able to go on by itself: if we are killed, the
// kernel lets it run from there.
#pragma once

#include <cstdint>
#include <memory>

#include "signal_frame.h"
#include "tidemark/trace/result.h"

namespace tidemark::collector {

class TracedThread {
 public:
  // Null when the thread has ended meanwhile. Errors: the system does not allow it.
  [[nodiscard]] static Result<std::unique_ptr<TracedThread>> stop(int32_t pid, int32_t tid);
  ~TracedThread();
  TracedThread(const TracedThread&) = delete;
  TracedThread& operator=(const TracedThread&) = delete;

  [[nodiscard]] int32_t tid() const { return tid_; }
  [[nodiscard]] bool read_state(ThreadState& state) const;
  [[nodiscard]] bool read_registers(user_regs_struct& registers) const;
  [[nodiscard]] bool write_registers(const user_regs_struct& registers) const;
  [[nodiscard]] bool write_extended(const ThreadState& state) const;
  [[nodiscard]] bool write_signal_mask(uint64_t mask) const;
  // In the middle of a sequence that the kernel restarts when the thread is moved (rseq).
  [[nodiscard]] bool in_restartable_sequence(const class RemoteMemory& memory) const;

  enum class Event : uint8_t {
    kInterrupted,  // by interrupt()
    kSystemCall,   // entered or left one
    kFault,        // crashed; the signal has not been delivered
    kRunning,      // nothing yet
    kGone,
  };
  // Runs on: freely, or to the next entry or exit of a system call.
  [[nodiscard]] bool go_on() const;
  [[nodiscard]] bool go_on_to_system_call() const;
  [[nodiscard]] bool interrupt() const;
  // Waits for the next event.
  [[nodiscard]] Event wait();
  [[nodiscard]] Event poll();

 private:
  TracedThread(int32_t pid, int32_t tid) : pid_(pid), tid_(tid) {}
  Event handle(int status);
  int32_t pid_;
  int32_t tid_;
  bool gone_ = false;
  int signal_ = 0;  // of the last stop for one
};

}  // namespace tidemark::collector
