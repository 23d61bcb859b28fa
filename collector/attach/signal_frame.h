// The state of a stopped thread as the kernel itself would lay it on a stack for a signal handler:
// rt_sigreturn takes the thread back to it, with no help from anybody. A thread that is made to do
// something gets one, so that it finds its way back even if we are killed meanwhile. Pure.
#pragma once

#include <sys/user.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tidemark::collector {

struct ThreadState {
  user_regs_struct registers{};
  std::vector<std::byte> extended;  // as PTRACE_GETREGSET(NT_X86_XSTATE) gives it
  uint64_t signal_mask = 0;
};

// The registers with which an interrupted system call is made again: what the kernel does for a
// tracer's stop, done for a thread that goes on by itself. A sleep goes on for what was left of it
// when the program asked to be told.
user_regs_struct resumable(user_regs_struct registers);

// Some calls fail with EINTR when a thread is merely stopped, which the program need not expect:
// they are made again too, unless a signal handler runs. To be applied once, when a thread has
// stopped.
user_regs_struct hide_interruption(user_regs_struct registers);

struct SignalFrame {
  uint64_t address = 0;  // of the context; the stack pointer for rt_sigreturn
  uint64_t lowest = 0;   // where the bytes go
  std::vector<std::byte> bytes;
};
// To be placed in memory so that it ends below `top`.
SignalFrame make_signal_frame(const ThreadState& state, uint64_t top);

}  // namespace tidemark::collector
