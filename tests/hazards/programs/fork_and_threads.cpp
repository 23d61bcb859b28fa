// fork while other threads allocate, and a thread in each child; short-lived threads by the
// thousand; an operator new that throws. Prints what it saw; the numbers are fixed.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

namespace {

constexpr int kForks = 60;
constexpr int kAllocationsInChild = 1000;
constexpr int kRounds = 20;
constexpr int kThreadsInRound = 100;

// Called through pointers that the compiler cannot see through: a pair of malloc and free would go.
void* (*volatile g_allocate)(size_t) = std::malloc;
void (*volatile g_release)(void*) = std::free;

void pairs(int count, size_t bytes) {
  for (int i = 0; i < count; ++i) g_release(g_allocate(bytes));
}

int forked_child() {
  std::thread thread([] { pairs(kAllocationsInChild, 5051); });
  thread.join();
  return 7;
}

}  // namespace

int main() {
  try {
    volatile size_t impossible = size_t{1} << 60;
    char* block = new char[impossible];
    std::printf("%p\n", static_cast<void*>(block));
  } catch (const std::bad_alloc&) {
    std::printf("bad_alloc\n");
  }
  std::fflush(stdout);
  std::atomic<bool> stop{false};
  std::vector<std::thread> busy;
  for (size_t i = 0; i < 3; ++i) {
    busy.emplace_back([&stop, i] {
      while (!stop) pairs(1, 100 + i);
    });
  }
  int wrong = 0;
  for (int i = 0; i < kForks; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(forked_child());
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 7) ++wrong;
  }
  stop = true;
  for (std::thread& thread : busy) thread.join();
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreadsInRound; ++i) threads.emplace_back([] { pairs(1, 5077); });
    for (std::thread& thread : threads) thread.join();
  }
  std::printf("children that went wrong: %d\n", wrong);
  return 0;
}
