// A thread that is idle for longer than it takes to be thought dead, in a process that a collector
// may know under another number than its own (another pid namespace), then allocates again.
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "opaque.h"

int main() {
  std::atomic<int> stage{0};
  std::thread idle([&stage] {
    pairs(100, 1001);
    stage = 1;
    usleep(1500000);
    pairs(100, 1002);
    stage = 2;
  });
  while (stage != 2) {
    // Threads that would take the idle one's place.
    std::thread([] { pairs(1, 1003); }).join();
    usleep(20000);
  }
  idle.join();
  pairs(100, 1004);
  std::printf("pid %s\n", getpid() < 20 ? "small" : "usual");
  return 0;
}
