// Allocations in signal handlers on an alternate stack: raised at a known place, and after a stack
// overflow, which the handler leaves by siglongjmp. The stack that is overflowed ends at unmapped
// memory; the handler's is 16 KiB.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstring>

#include "opaque.h"

namespace {

constexpr size_t kAlternateBytes = 16 * 1024;
constexpr int kRounds = 50;
sigjmp_buf g_way_out;
volatile int g_overflows = 0;
volatile int g_raised = 0;

NOINLINE void in_handler(size_t bytes) {
  pairs(1, bytes);
  STAY();
}

void on_raise(int) {
  g_raised = g_raised + 1;
  in_handler(1001);
}

void on_overflow(int) {
  g_overflows = g_overflows + 1;
  in_handler(2002);
  siglongjmp(g_way_out, 1);
}

volatile int g_deepest = 1 << 30;

NOINLINE int overflow(int depth) {
  if (depth == g_deepest) return 0;
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  const int below = overflow(depth + 1);
  return below + frame[0];
}

NOINLINE void raises() {
  raise(SIGUSR1);
  STAY();
}

void* work(void*) {
  char* alternate = static_cast<char*>(
      mmap(nullptr, kAlternateBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  stack_t stack{};
  stack.ss_sp = alternate;
  stack.ss_size = kAlternateBytes;
  sigaltstack(&stack, nullptr);
  for (int i = 0; i < kRounds; ++i) {
    raises();
    if (sigsetjmp(g_way_out, 1) == 0) overflow(0);
    pairs(1, 3003);
  }
  stack.ss_flags = SS_DISABLE;
  sigaltstack(&stack, nullptr);
  munmap(alternate, kAlternateBytes);
  return nullptr;
}

void install(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_ONSTACK;
  sigaction(signal, &action, nullptr);
}

}  // namespace

int main() {
  install(SIGUSR1, on_raise);
  install(SIGSEGV, on_overflow);
  work(nullptr);
  // The smallest stack that a thread may have, with its guard page.
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 32 * 1024);
  pthread_t thread;
  if (pthread_create(&thread, &attributes, work, nullptr) != 0) return 1;
  pthread_join(thread, nullptr);
  std::printf("raised %d, overflows %d\n", g_raised, g_overflows);
  return 0;
}
