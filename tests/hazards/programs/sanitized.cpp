// Built with AddressSanitizer, which owns malloc, looks at every stack and wants to be loaded
// first.
#include <cstdio>
#include <thread>
#include <vector>

#include "opaque.h"

int main(int argc, char**) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([] { pairs(100, 1001); });
  for (std::thread& thread : threads) thread.join();
  auto* block = static_cast<volatile char*>(g_malloc(1002));
  block[0] = 1;
  std::printf("sanitized\n");
  std::fflush(stdout);
  // With an argument, the fault that it is there to find.
  if (argc > 1) block[1002] = 1;
  g_free(const_cast<char*>(block));
  return 0;
}
