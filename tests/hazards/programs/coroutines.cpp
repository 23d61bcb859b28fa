// Coroutines: a thread that hops between stacks of its own making, which go away and come back at
// the same address with other frames on them. Whoever keeps the last stack of a thread for the next
// one reads memory that is unmapped, or hands out frames of a coroutine that is long gone.
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <stdexcept>

#include "opaque.h"

namespace {

constexpr size_t kStackBytes = 64 * 1024;
constexpr int kRounds = 200;
constexpr int kHops = 5;

ucontext_t g_main;
ucontext_t g_first;
ucontext_t g_second;
int g_caught = 0;

NOINLINE void hop(ucontext_t* from, ucontext_t* to) {
  swapcontext(from, to);
  STAY();
}

NOINLINE void in_first(int depth) {
  if (depth > 0) {
    in_first(depth - 1);
    STAY();
    return;
  }
  for (int i = 0; i < kHops; ++i) {
    void* block = g_malloc(1001);
    hop(&g_first, &g_main);
    g_free(block);
  }
}

NOINLINE void in_second(int depth) {
  if (depth > 0) {
    in_second(depth - 1);
    STAY();
    return;
  }
  for (int i = 0; i < kHops; ++i) {
    void* block = g_malloc(2002);
    hop(&g_second, &g_main);
    g_free(block);
  }
  try {
    throw std::runtime_error("inside a coroutine");
  } catch (const std::exception&) {
    ++g_caught;
  }
}

void first() { in_first(3); }
void second() { in_second(1); }

void* make(ucontext_t* context, void (*function)()) {
  void* stack =
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  getcontext(context);
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = kStackBytes;
  context->uc_link = &g_main;
  makecontext(context, function, 0);
  return stack;
}

NOINLINE void in_main() {
  pairs(1, 3003);
  STAY();
}

// Runs one coroutine to its end; from its second half on its stack is gone again.
NOINLINE void run(ucontext_t* context, void (*function)()) {
  void* stack = make(context, function);
  for (int i = 0; i <= kHops; ++i) {
    hop(&g_main, context);
    in_main();
  }
  munmap(stack, kStackBytes);
  in_main();
}

}  // namespace

int main() {
  for (int i = 0; i < kRounds; ++i) {
    run(&g_first, first);
    run(&g_second, second);
    // Both at once, taking turns.
    void* one = make(&g_first, first);
    void* two = make(&g_second, second);
    for (int hops = 0; hops <= kHops; ++hops) {
      hop(&g_main, &g_first);
      hop(&g_main, &g_second);
    }
    munmap(one, kStackBytes);
    munmap(two, kStackBytes);
  }
  std::printf("caught %d\n", g_caught);
  return 0;
}
