#include "traced_thread.h"

#include <elf.h>
#include <sys/ptrace.h>  // PTRACE_EVENT_STOP among them
#include <sys/uio.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "process_facts.h"
#include "remote_memory.h"

namespace tidemark::collector {
namespace {

constexpr int kSystemCallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD
constexpr size_t kMostExtendedBytes = 16384;

// <linux/ptrace.h> has the request since 5.13.
constexpr int kGetRseqConfiguration = 0x420f;
struct RseqConfiguration {
  uint64_t address;
  uint32_t bytes;
  uint32_t signature;
  uint32_t flags;
  uint32_t padding;
};

long trace(int request, int32_t tid, uint64_t address = 0, const void* data = nullptr) {
  return ptrace(static_cast<__ptrace_request>(request), tid, reinterpret_cast<void*>(address),
                const_cast<void*>(data));
}

void* number(uint64_t value) { return reinterpret_cast<void*>(value); }

bool is_fault(int signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ||
         signal == SIGTRAP || signal == SIGSYS;
}

}  // namespace

Result<std::unique_ptr<TracedThread>> TracedThread::stop(int32_t pid, int32_t tid) {
  if (trace(PTRACE_SEIZE, tid, 0, number(PTRACE_O_TRACESYSGOOD)) != 0) {
    const int error = errno;
    if (error == ESRCH) return nullptr;
    return fail(explain_refusal(pid, error, ptrace_scope()));
  }
  std::unique_ptr<TracedThread> thread(new TracedThread(pid, tid));
  if (!thread->interrupt()) return nullptr;
  for (;;) {
    const Event event = thread->wait();
    if (event == Event::kGone) return nullptr;
    if (event == Event::kInterrupted) {
      user_regs_struct registers{};
      if (!thread->read_registers(registers)) return nullptr;
      const user_regs_struct hidden = hide_interruption(registers);
      if (hidden.rax != registers.rax && !thread->write_registers(hidden)) return nullptr;
      return thread;
    }
    // A fault of the program's own has come first, which it may handle.
    trace(PTRACE_CONT, tid, 0, number(static_cast<uint64_t>(thread->signal_)));
  }
}

TracedThread::~TracedThread() {
  if (!gone_) trace(PTRACE_DETACH, tid_);
}

bool TracedThread::read_registers(user_regs_struct& registers) const {
  return trace(PTRACE_GETREGS, tid_, 0, &registers) == 0;
}
bool TracedThread::write_registers(const user_regs_struct& registers) const {
  return trace(PTRACE_SETREGS, tid_, 0, &registers) == 0;
}

bool TracedThread::read_state(ThreadState& state) const {
  if (!read_registers(state.registers)) return false;
  state.extended.resize(kMostExtendedBytes);
  iovec area{state.extended.data(), state.extended.size()};
  if (trace(PTRACE_GETREGSET, tid_, NT_X86_XSTATE, &area) != 0) return false;
  state.extended.resize(area.iov_len);
  return trace(PTRACE_GETSIGMASK, tid_, sizeof state.signal_mask, &state.signal_mask) == 0;
}

bool TracedThread::write_extended(const ThreadState& state) const {
  const iovec area{const_cast<std::byte*>(state.extended.data()), state.extended.size()};
  return trace(PTRACE_SETREGSET, tid_, NT_X86_XSTATE, &area) == 0;
}
bool TracedThread::write_signal_mask(uint64_t mask) const {
  return trace(PTRACE_SETSIGMASK, tid_, sizeof mask, &mask) == 0;
}

bool TracedThread::in_restartable_sequence(const RemoteMemory& memory) const {
  RseqConfiguration rseq{};
  constexpr uint64_t kCriticalSection = 8;  // offset of rseq_cs in struct rseq
  if (trace(kGetRseqConfiguration, tid_, sizeof rseq, &rseq) < 0 || rseq.address == 0) return false;
  uint64_t section = 0;
  return memory.read(rseq.address + kCriticalSection, &section, sizeof section) && section != 0;
}

bool TracedThread::go_on() const { return trace(PTRACE_CONT, tid_) == 0; }
bool TracedThread::go_on_to_system_call() const { return trace(PTRACE_SYSCALL, tid_) == 0; }
bool TracedThread::interrupt() const { return trace(PTRACE_INTERRUPT, tid_) == 0; }

TracedThread::Event TracedThread::handle(int status) {
  if (!WIFSTOPPED(status)) {
    gone_ = true;
    return Event::kGone;
  }
  if (status >> 16 == PTRACE_EVENT_STOP) return Event::kInterrupted;
  if (WSTOPSIG(status) == kSystemCallStop) return Event::kSystemCall;
  signal_ = WSTOPSIG(status);
  if (is_fault(signal_)) return Event::kFault;
  // Somebody's signal: it goes where it was sent.
  trace(PTRACE_CONT, tid_, 0, number(static_cast<uint64_t>(signal_)));
  return Event::kRunning;
}

TracedThread::Event TracedThread::wait() {
  for (;;) {
    int status = 0;
    if (waitpid(tid_, &status, __WALL) < 0) {
      if (errno == EINTR) continue;
      gone_ = true;
      return Event::kGone;
    }
    const Event event = handle(status);
    if (event != Event::kRunning) return event;
  }
}

TracedThread::Event TracedThread::poll() {
  int status = 0;
  const pid_t got = waitpid(tid_, &status, __WALL | WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return Event::kRunning;
  if (got < 0) {
    gone_ = true;
    return Event::kGone;
  }
  return handle(status);
}

}  // namespace tidemark::collector
