#include "borrowed_thread.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>

namespace tidemark::collector {
namespace {

constexpr uint64_t kRedZoneBytes = 128;  // below the stack pointer, still the function's own

// All but those that a fault of ours raises: the kernel would reset what the program does with
// them.
uint64_t borrowed_mask() {
  uint64_t mask = ~uint64_t{0};
  for (const int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS}) {
    mask &= ~(uint64_t{1} << (fault - 1));
  }
  return mask;
}

tl::unexpected<Error> lost() { return fail("the process has ended"); }

}  // namespace

ThreadState BorrowedThread::self_resuming_state() const {
  ThreadState state = state_;
  state.registers = resumable(state.registers);
  return state;
}

Result<int64_t> BorrowedThread::system_call(int64_t number, const Arguments& arguments) {
  const SignalFrame frame =
      make_signal_frame(self_resuming_state(), state_.registers.rsp - kRedZoneBytes);
  const uint64_t stack = frame.address - sizeof(uint64_t);
  if (!memory_.write(frame.lowest, frame.bytes.data(), frame.bytes.size()) ||
      !memory_.write(stack, &gadgets_.way_back, sizeof gadgets_.way_back)) {
    return fail("there is too little room on its stack");
  }
  user_regs_struct registers = state_.registers;
  registers.rip = gadgets_.system_call;
  registers.rsp = stack;
  registers.rax = static_cast<uint64_t>(number);
  registers.orig_rax = ~0ULL;
  registers.rdi = arguments.values[0];
  registers.rsi = arguments.values[1];
  registers.rdx = arguments.values[2];
  registers.r10 = arguments.values[3];
  registers.r8 = arguments.values[4];
  registers.r9 = arguments.values[5];
  if (!thread_->write_registers(registers) || !thread_->write_signal_mask(borrowed_mask())) {
    return lost();
  }
  for (int stops = 0; stops < 2; ++stops) {  // its entry, its exit
    if (!thread_->go_on_to_system_call()) return lost();
    if (thread_->wait() != TracedThread::Event::kSystemCall) return lost();
  }
  if (!thread_->read_registers(registers)) return lost();
  return static_cast<int64_t>(registers.rax);
}

Result<void> BorrowedThread::run(uint64_t code, uint64_t stack, uint64_t rbx) {
  user_regs_struct registers = state_.registers;
  registers.rip = code;
  registers.rsp = stack;
  registers.rbx = rbx;
  registers.rbp = 0;
  registers.orig_rax = ~0ULL;
  if (!thread_->write_registers(registers) || !thread_->go_on()) return lost();
  return {};
}

Result<void> BorrowedThread::stop_again() {
  if (!thread_->interrupt()) return lost();
  for (;;) {
    const TracedThread::Event event = thread_->wait();
    if (event == TracedThread::Event::kInterrupted) return {};
    if (event == TracedThread::Event::kGone) return lost();
    if (!thread_->go_on()) return lost();
  }
}

Result<void> BorrowedThread::put_back(const Memory& unmap) {
  if (auto stopped = stop_again(); !stopped) return stopped;
  const auto unmapped = system_call(SYS_munmap, {{unmap.address, unmap.bytes}});
  if (!unmapped) return tl::unexpected<Error>(unmapped.error());
  return put_back_at_once();
}

// The last step is made in a stop for an interrupt: only from there does the kernel see, on the way
// out, whether a system call is to be restarted, and with what it had kept for that.
Result<void> BorrowedThread::put_back_at_once() {
  if (!thread_->write_extended(state_) || !thread_->write_signal_mask(state_.signal_mask) ||
      !thread_->write_registers(resumable(state_.registers)) || !thread_->interrupt() ||
      !thread_->go_on()) {
    return lost();
  }
  if (thread_->wait() != TracedThread::Event::kInterrupted) return lost();
  if (!thread_->write_registers(state_.registers)) return lost();
  thread_.reset();
  return {};
}

void BorrowedThread::let_go() {
  if (stop_again()) thread_.reset();
}

}  // namespace tidemark::collector
