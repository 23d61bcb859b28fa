// What attaching decides without touching a process: who is refused, which code is dangerous, and
// how a thread finds its way back. The rest needs real processes: tests/hazards/attach_test.py.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "attach/danger_map.h"
#include "attach/exported_functions.h"
#include "attach/process_facts.h"
#include "attach/signal_frame.h"

namespace tidemark::collector {
namespace {

TEST(ProcessFacts, LinesOfMapsAreParsedWithTheirSpaces) {
  const auto maps = parse_maps(
      "7f00aa000000-7f00aa021000 r-xp 00001000 08:01 123                        /lib/with "
      "space.so\n"
      "7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]\n"
      "garbage\n"
      "7f00bb000000-7f00bb001000 rw-p 00000000 00:00 0 \n");
  ASSERT_EQ(maps.size(), 3U);
  EXPECT_EQ(maps[0].path, "/lib/with space.so");
  EXPECT_EQ(maps[0].offset, 0x1000U);
  EXPECT_EQ(maps[0].inode, 123U);
  EXPECT_TRUE(maps[0].executable);
  EXPECT_FALSE(maps[0].writable);
  EXPECT_EQ(maps[1].path, "[stack]");
  EXPECT_EQ(maps[2].path, "");
  EXPECT_EQ(range_at(maps, 0x7f00aa020fff), &maps[0]);
  EXPECT_EQ(range_at(maps, 0x7f00aa021000), nullptr);
}

TEST(ProcessFacts, StatusSaysWhoAndWhat) {
  const ProcessStatus status = parse_status(
      "Name:\tpython3 -x\nState:\tT (stopped)\nTgid:\t77\nTracerPid:\t12\nUid:\t1000\t1001\t0\t0\n"
      "VmSize:\t  1234 kB\nx86_Thread_features:\tshstk wrss\n");
  EXPECT_EQ(status.name, "python3 -x");
  EXPECT_EQ(status.state, 'T');
  EXPECT_EQ(status.thread_group, 77);
  EXPECT_EQ(status.tracer, 12);
  EXPECT_EQ(status.user, 1000U);
  EXPECT_TRUE(status.has_memory);
  EXPECT_TRUE(status.shadow_stack);
  EXPECT_FALSE(parse_status("Name:\tkthreadd\nTgid:\t2\n").has_memory);
}

TEST(ProcessFacts, ARefusalNamesTheSettingThatCausesIt) {
  for (const char* scope : {"1\n", "2\n", "3\n"}) {
    const std::string line = explain_refusal(12, EPERM, scope);
    EXPECT_NE(line.find("ptrace_scope"), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
  EXPECT_NE(explain_refusal(12, EPERM, "1\n").find("sysctl kernel.yama.ptrace_scope=0"),
            std::string::npos);
  EXPECT_EQ(explain_refusal(12, EPERM, "0\n").find("ptrace_scope"), std::string::npos);
  EXPECT_NE(explain_refusal(12, EPERM, "").find("as root"), std::string::npos);
  EXPECT_EQ(explain_refusal(12, ESRCH, "1\n"), "process 12 has ended");
}

TEST(DangerMap, TheAllocatorIsDangerousWithWhatLiesAroundIt) {
  // A function that libc keeps to itself lies between two exported ones.
  const ExportedFunctions libc({{0x100, 0x180, "qsort"},
                                {0x400, 0x480, "malloc"},
                                {0x500, 0x580, "free"},
                                {0x700, 0x780, "strlen"},
                                {0x800, 0x900, "pthread_create"},
                                {0xa00, 0xa80, "pthread_join"}});
  const auto ranges = dangerous_in_libc(libc, 0x10000);
  const auto dangerous = [&](uint64_t address) {
    for (const CodeRange& range : ranges) {
      if (address >= range.start && address < range.end) return true;
    }
    return false;
  };
  EXPECT_FALSE(dangerous(0x10150));
  EXPECT_TRUE(dangerous(0x10200)) << "before malloc, nobody knows what";
  EXPECT_TRUE(dangerous(0x10410));
  EXPECT_TRUE(dangerous(0x10490));
  EXPECT_TRUE(dangerous(0x106ff)) << "after free";
  EXPECT_FALSE(dangerous(0x10700));
  EXPECT_FALSE(dangerous(0x107f0)) << "every thread begins beside pthread_create";
  EXPECT_TRUE(dangerous(0x10810));
  EXPECT_FALSE(dangerous(0x10a10)) << "waiting for a thread holds nothing";
}

TEST(DangerMap, OnlyCallsThatWaitForOthersMayBeInterrupted) {
  EXPECT_TRUE(is_waiting_call(SYS_read));
  EXPECT_TRUE(is_waiting_call(SYS_futex));
  EXPECT_FALSE(is_waiting_call(SYS_munmap)) << "the allocator unmaps with its lock held";
  EXPECT_FALSE(is_waiting_call(SYS_brk));
  EXPECT_FALSE(is_waiting_call(SYS_clone));
}

user_regs_struct interrupted(int64_t number, int64_t result) {
  user_regs_struct registers{};
  registers.orig_rax = static_cast<unsigned long long>(number);
  registers.rax = static_cast<unsigned long long>(result);
  registers.rip = 0x1002;
  registers.rdi = 1;
  registers.rsi = 2;
  registers.rdx = 3;
  registers.r10 = 4;
  return registers;
}

TEST(SignalFrame, AnInterruptedCallIsMadeAgain) {
  for (const int64_t restart : {-512, -513, -514}) {
    const auto again = resumable(interrupted(SYS_read, restart));
    EXPECT_EQ(again.rip, 0x1000U);
    EXPECT_EQ(again.rax, static_cast<unsigned long long>(SYS_read));
    EXPECT_EQ(again.orig_rax, ~0ULL);
  }
  const auto done = resumable(interrupted(SYS_read, 17));
  EXPECT_EQ(done.rip, 0x1002U);
  EXPECT_EQ(done.rax, 17U);
  auto computing = interrupted(-1, -512);
  EXPECT_EQ(resumable(computing).rip, 0x1002U) << "not in a system call at all";
}

TEST(SignalFrame, ASleepGoesOnForWhatWasLeftOfIt) {
  EXPECT_EQ(resumable(interrupted(SYS_nanosleep, -516)).rdi, 2U);
  EXPECT_EQ(resumable(interrupted(SYS_clock_nanosleep, -516)).rdx, 4U);
  auto unasked = interrupted(SYS_nanosleep, -516);
  unasked.rsi = 0;
  EXPECT_EQ(resumable(unasked).rdi, 1U);
}

TEST(SignalFrame, AStopIsNoReasonToFailWithEintr) {
  EXPECT_EQ(static_cast<int64_t>(hide_interruption(interrupted(SYS_epoll_wait, -EINTR)).rax), -514);
  EXPECT_EQ(static_cast<int64_t>(hide_interruption(interrupted(SYS_epoll_wait, 3)).rax), 3);
  EXPECT_EQ(static_cast<int64_t>(hide_interruption(interrupted(SYS_close, -EINTR)).rax), -EINTR);
}

TEST(SignalFrame, LiesBelowItsTopWithEverythingAligned) {
  ThreadState state;
  state.registers.rip = 0x1234;
  state.registers.cs = 0x33;
  state.registers.ss = 0x2b;
  state.signal_mask = 0x55;
  state.extended.resize(512);
  for (const uint64_t top : {0x7fff0000ULL, 0x7fff0001ULL, 0x7fff003fULL}) {
    const SignalFrame frame = make_signal_frame(state, top);
    EXPECT_LE(frame.lowest + frame.bytes.size(), top);
    EXPECT_EQ(frame.address % 16, 0U);
    ucontext_t context;
    std::memcpy(&context, frame.bytes.data() + (frame.address - frame.lowest), sizeof context);
    EXPECT_EQ(reinterpret_cast<uint64_t>(context.uc_mcontext.fpregs) % 64, 0U);
    EXPECT_EQ(context.uc_mcontext.gregs[REG_RIP], 0x1234);
    EXPECT_EQ(context.uc_sigmask.__val[0], 0x55U);
  }
}

}  // namespace
}  // namespace tidemark::collector
