// Three threads allocate and free until the program is killed, each telling stdout how many steps
// it has completed: "THREAD STEPS". Step i of thread t allocates 100000·(t+1) + i bytes and, when i
// is odd, frees the block of step i − 1.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

constexpr int kThreads = 3;
constexpr int kMostSteps = 99999;

void work(int thread) {
  void* before = nullptr;
  for (int i = 0; i < kMostSteps; ++i) {
    void* block = std::malloc(static_cast<size_t>(100000 * (thread + 1) + i));
    if (block == nullptr) std::_Exit(3);
    if (i % 2 == 1) std::free(before);
    before = block;
    char line[32];
    const int bytes = std::snprintf(line, sizeof line, "%d %d\n", thread, i + 1);
    // One write each: lines of different threads do not mix, and nothing waits in a buffer.
    if (write(STDOUT_FILENO, line, static_cast<size_t>(bytes)) != bytes) std::_Exit(4);
  }
  for (;;) pause();
}

}  // namespace

int main() {
  std::printf("pid %d\n", getpid());
  std::fflush(stdout);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) threads.emplace_back(work, t);
  for (std::thread& thread : threads) thread.join();
  return 0;
}
