// A coroutine whose outermost frame lies about itself, at the very end of a mapping: hand-written
// switches (libco and its kin) push some return address for a function that never returns, and what
// unwind tables say of it is chance. Whoever believes them reads past the end of the stack, where
// nothing is mapped.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

#include "opaque.h"

extern "C" {
void switch_stacks(void** save, void* to);
void bottomless_return();
void* g_main_sp;
void* g_coroutine_sp;
}

// The six callee-saved registers and the stack; nothing else. And the return address of the
// coroutine's entry, which a table gives a frame of 16 KiB.
asm(R"(
.text
.globl switch_stacks
.type switch_stacks, @function
switch_stacks:
  .cfi_startproc
  pushq %rbp
  .cfi_adjust_cfa_offset 8
  pushq %rbx
  .cfi_adjust_cfa_offset 8
  pushq %r12
  .cfi_adjust_cfa_offset 8
  pushq %r13
  .cfi_adjust_cfa_offset 8
  pushq %r14
  .cfi_adjust_cfa_offset 8
  pushq %r15
  .cfi_adjust_cfa_offset 8
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  .cfi_adjust_cfa_offset -48
  ret
  .cfi_endproc
.size switch_stacks, .-switch_stacks
.type lying_frame, @function
lying_frame:
  .cfi_startproc
  .cfi_def_cfa_offset 16384
  nop
.globl bottomless_return
bottomless_return:
  ud2
  .cfi_endproc
.size lying_frame, .-lying_frame
)");

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kStackBytes = 16 * kPage;
constexpr size_t kGapBytes = 16 * kPage;  // larger than the lie
constexpr int kRounds = 100;

NOINLINE void work() {
  pairs(1, 1001);
  STAY();
}

void entry() {
  for (;;) {
    work();
    switch_stacks(&g_coroutine_sp, g_main_sp);
  }
}

}  // namespace

int main() {
  // What lies behind the stack is nobody's.
  auto* memory = static_cast<char*>(mmap(nullptr, kStackBytes + kGapBytes, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (mprotect(memory + kStackBytes, kGapBytes, PROT_NONE) != 0) return 1;
  auto* top = reinterpret_cast<uint64_t*>(memory + kStackBytes);
  // Aligned as a call would leave it.
  *--top = 0;
  *--top = 0;
  *--top = reinterpret_cast<uint64_t>(bottomless_return);
  *--top = reinterpret_cast<uint64_t>(&entry);
  for (int i = 0; i < 6; ++i) *--top = 0;
  g_coroutine_sp = top;
  for (int i = 0; i < kRounds; ++i) {
    switch_stacks(&g_main_sp, g_coroutine_sp);
    pairs(1, 2002);
  }
  std::printf("came back %d times\n", kRounds);
  return 0;
}
