#include "signal_frame.h"

#include <cpuid.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

namespace tidemark::collector {
namespace {

// Of the kernel, not in its public headers (arch/x86/include/uapi/asm/{ucontext,sigcontext}.h).
constexpr unsigned long kHasExtendedState = 1;
constexpr unsigned long kHasStackSegment = 2;
constexpr unsigned long kStrictStackSegment = 4;
constexpr uint32_t kExtendedMagic1 = 0x46505853;
constexpr uint32_t kExtendedMagic2 = 0x46505845;
constexpr size_t kSoftwareBytes = 464;  // of the legacy area: ours to describe what follows
constexpr size_t kLegacyBytes = 512;

constexpr int64_t kRestartSys = -512;
constexpr int64_t kRestartNoIntr = -513;
constexpr int64_t kRestartNoHand = -514;
constexpr int64_t kRestartBlock = -516;

struct SoftwareArea {
  uint32_t magic1;
  uint32_t extended_bytes;
  uint64_t features;
  uint32_t state_bytes;
  uint32_t padding[7];
};
static_assert(sizeof(SoftwareArea) == 48);

// A thread that never used the large matrix registers may not be given any: a frame with room for
// them would be refused in part.
struct ExtendedPart {
  uint64_t features;
  size_t bytes;
};
ExtendedPart usable_part(const std::vector<std::byte>& extended) {
  constexpr uint64_t kMatrix = uint64_t{3} << 17;
  constexpr size_t kHeaderBytes = 64;
  constexpr size_t kHeaderEnd = kLegacyBytes + kHeaderBytes;
  ExtendedPart part{0, std::min(extended.size(), kLegacyBytes)};
  if (extended.size() < kHeaderEnd) return part;
  uint64_t used = 0;
  std::memcpy(&part.features, extended.data() + kSoftwareBytes, sizeof part.features);
  std::memcpy(&used, extended.data() + kLegacyBytes, sizeof used);
  if ((used & kMatrix) == 0) part.features &= ~kMatrix;
  part.bytes = kHeaderEnd;
  for (unsigned feature = 2; feature < 63; ++feature) {
    if ((part.features >> feature & 1) == 0) continue;
    unsigned bytes = 0;
    unsigned offset = 0;
    unsigned unused = 0;
    if (__get_cpuid_count(0xd, feature, &bytes, &offset, &unused, &unused) == 0) continue;
    part.bytes = std::max(part.bytes, size_t{offset} + bytes);
  }
  part.bytes = std::min(part.bytes, extended.size());
  return part;
}

}  // namespace

user_regs_struct resumable(user_regs_struct registers) {
  const auto number = static_cast<int64_t>(registers.orig_rax);
  const auto result = static_cast<int64_t>(registers.rax);
  registers.orig_rax = ~0ULL;
  if (number < 0) return registers;
  const bool restarts = result == kRestartSys || result == kRestartNoIntr ||
                        result == kRestartNoHand || result == kRestartBlock;
  if (!restarts) return registers;
  registers.rax = static_cast<unsigned long long>(number);
  registers.rip -= 2;  // the syscall instruction
  if (result == kRestartBlock && number == SYS_nanosleep && registers.rsi != 0) {
    registers.rdi = registers.rsi;
  }
  if (result == kRestartBlock && number == SYS_clock_nanosleep && registers.r10 != 0) {
    registers.rdx = registers.r10;
  }
  return registers;
}

user_regs_struct hide_interruption(user_regs_struct registers) {
  constexpr int64_t kFailing[] = {SYS_epoll_wait, SYS_epoll_pwait,   SYS_epoll_pwait2,
                                  SYS_semop,      SYS_semtimedop,    SYS_rt_sigtimedwait,
                                  SYS_recvfrom,   SYS_recvmsg,       SYS_recvmmsg,
                                  SYS_accept,     SYS_accept4,       SYS_sendto,
                                  SYS_sendmsg,    SYS_read,          SYS_write,
                                  SYS_readv,      SYS_writev,        SYS_io_getevents,
                                  SYS_msgrcv,     SYS_io_pgetevents, SYS_futex};
  const auto number = static_cast<int64_t>(registers.orig_rax);
  const bool failing =
      std::find(std::begin(kFailing), std::end(kFailing), number) != std::end(kFailing);
  if (failing && static_cast<int64_t>(registers.rax) == -EINTR) {
    registers.rax = static_cast<unsigned long long>(kRestartNoHand);
  }
  return registers;
}

SignalFrame make_signal_frame(const ThreadState& state, uint64_t top) {
  const user_regs_struct& r = state.registers;
  const auto [features, extended_bytes] = usable_part(state.extended);
  const bool full = extended_bytes > kLegacyBytes;
  const uint64_t extended_at = (top - extended_bytes - sizeof kExtendedMagic2) & ~uint64_t{63};
  SignalFrame frame;
  frame.address = (extended_at - sizeof(ucontext_t)) & ~uint64_t{15};
  frame.lowest = frame.address;
  frame.bytes.resize(extended_at + extended_bytes + sizeof kExtendedMagic2 - frame.lowest);

  ucontext_t context{};
  context.uc_flags = kHasStackSegment | kStrictStackSegment | (full ? kHasExtendedState : 0);
  greg_t* registers = context.uc_mcontext.gregs;
  const auto set = [&](int index, unsigned long long value) {
    registers[index] = static_cast<greg_t>(value);
  };
  set(REG_R8, r.r8);
  set(REG_R9, r.r9);
  set(REG_R10, r.r10);
  set(REG_R11, r.r11);
  set(REG_R12, r.r12);
  set(REG_R13, r.r13);
  set(REG_R14, r.r14);
  set(REG_R15, r.r15);
  set(REG_RDI, r.rdi);
  set(REG_RSI, r.rsi);
  set(REG_RBP, r.rbp);
  set(REG_RBX, r.rbx);
  set(REG_RDX, r.rdx);
  set(REG_RAX, r.rax);
  set(REG_RCX, r.rcx);
  set(REG_RSP, r.rsp);
  set(REG_RIP, r.rip);
  set(REG_EFL, r.eflags);
  set(REG_CSGSFS, (r.cs & 0xffff) | (r.ss & 0xffff) << 48);
  context.uc_mcontext.fpregs = reinterpret_cast<fpregset_t>(extended_at);
  std::memcpy(&context.uc_sigmask, &state.signal_mask, sizeof state.signal_mask);
  std::memcpy(frame.bytes.data(), &context, sizeof context);

  std::byte* extended = frame.bytes.data() + (extended_at - frame.lowest);
  std::memcpy(extended, state.extended.data(), extended_bytes);
  if (full) {
    SoftwareArea area{};
    area.features = features;
    area.magic1 = kExtendedMagic1;
    area.state_bytes = static_cast<uint32_t>(extended_bytes);
    area.extended_bytes = static_cast<uint32_t>(extended_bytes + sizeof kExtendedMagic2);
    std::memcpy(extended + kSoftwareBytes, &area, sizeof area);
    std::memcpy(extended + extended_bytes, &kExtendedMagic2, sizeof kExtendedMagic2);
  }
  return frame;
}

}  // namespace tidemark::collector
