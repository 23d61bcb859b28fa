// A stopped thread of another process that does a few things for us and is then put back
// (borrow.h has the whole picture). The order of its calls:
//   system_call … → run → poll … until it is done → put_back
// At each point the thread finds its way back by itself if we are gone.
#pragma once

#include <cstdint>
#include <memory>

#include "remote_memory.h"
#include "signal_frame.h"
#include "traced_thread.h"

namespace tidemark::collector {

// Instructions of the process that we use as they stand.
struct Gadgets {
  uint64_t system_call = 0;  // syscall; ret
  uint64_t way_back = 0;     // mov $15, %rax; syscall   (rt_sigreturn)
};

class BorrowedThread {
 public:
  // `thread` is stopped by interrupt(), in `state`.
  BorrowedThread(std::unique_ptr<TracedThread> thread, ThreadState state, const Gadgets& gadgets,
                 const RemoteMemory& memory)
      : thread_(std::move(thread)), state_(std::move(state)), gadgets_(gadgets), memory_(memory) {}

  // Its result; below 0: -errno. Errors: the thread is gone, or its stack cannot be written to.
  struct Arguments {
    uint64_t values[6] = {};
  };
  [[nodiscard]] Result<int64_t> system_call(int64_t number, const Arguments& arguments);
  // Starts to run at `code` with its stack and rbx set. Does not wait.
  [[nodiscard]] Result<void> run(uint64_t code, uint64_t stack, uint64_t rbx);
  [[nodiscard]] TracedThread::Event poll() { return thread_->poll(); }
  [[nodiscard]] bool go_on() { return thread_->go_on(); }
  // After run(), when the stub is done: to exactly where it was when it was taken. `unmap` is
  // memory that goes back first.
  struct Memory {
    uint64_t address = 0;
    uint64_t bytes = 0;
  };
  [[nodiscard]] Result<void> put_back(const Memory& unmap);
  // The same for a thread that is stopped: instead of run(), or because it crashed in what we made
  // it do. What it has mapped stays.
  [[nodiscard]] Result<void> put_back_at_once();
  // After run(), when it takes too long: it goes on, and goes back by itself some time.
  void let_go();
  [[nodiscard]] const ThreadState& state() const { return state_; }
  // Its registers as saved, for a thread that goes on by itself.
  [[nodiscard]] ThreadState self_resuming_state() const;

 private:
  Result<void> stop_again();
  std::unique_ptr<TracedThread> thread_;
  ThreadState state_;
  Gadgets gadgets_;
  const RemoteMemory& memory_;
};

}  // namespace tidemark::collector
