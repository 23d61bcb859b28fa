// More events than a ring holds, as fast as they go: THREADS threads, PAIRS pairs of malloc and
// free each, of 1001 bytes, after a line on standard input.
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "opaque.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int threads = std::atoi(argv[1]);
  const int count = std::atoi(argv[2]);
  std::printf("ready\n");
  std::fflush(stdout);
  std::getchar();
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) workers.emplace_back([count] { pairs(count, 1001); });
  for (std::thread& worker : workers) worker.join();
  std::printf("done\n");
  return 7;
}
