// Signal handlers that map memory while the program is inside an allocator hook, and handlers that
// leave a system call's hook by siglongjmp and never come back to it. What happened before, between
// and after is recorded.
//
//   handlers_and_jumps handle|jump
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#include <cstdio>
#include <cstring>

#include "opaque.h"

namespace {

constexpr size_t kPage = 4096;
constexpr int kSignals = 300;
constexpr int kPairsAfterwards = 1000;

volatile sig_atomic_t g_handled = 0;
volatile sig_atomic_t g_in_window = 0;
sigjmp_buf g_way_out;

void map_and_unmap(size_t pages) {
  void* memory = mmap(nullptr, pages * kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory != MAP_FAILED) munmap(memory, pages * kPage);
}

void handle(int) {
  if (g_handled >= kSignals) return;
  g_handled = g_handled + 1;
  map_and_unmap(7);
}

void jump(int) {
  if (g_in_window == 0 || g_handled >= kSignals) return;
  g_handled = g_handled + 1;
  siglongjmp(g_way_out, 1);
}

void start_timer(long microseconds) {
  itimerval timer{};
  timer.it_interval.tv_usec = microseconds;
  timer.it_value.tv_usec = microseconds;
  setitimer(ITIMER_REAL, &timer, nullptr);
}

void until_handled() {
  while (g_handled < kSignals) pairs(1, 1001);
}

void until_jumped() {
  while (g_handled < kSignals) {
    if (sigsetjmp(g_way_out, 1) == 0) {
      g_in_window = 1;
      for (;;) map_and_unmap(3);
    }
    g_in_window = 0;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const bool jumps = std::strcmp(argv[1], "jump") == 0;
  struct sigaction action {};
  action.sa_handler = jumps ? jump : handle;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  start_timer(400);
  if (jumps) {
    until_jumped();
  } else {
    until_handled();
  }
  start_timer(0);
  pairs(kPairsAfterwards, 2002);
  std::printf("handled %d\n", static_cast<int>(g_handled));
  return 0;
}
