// Linked statically: nothing can be preloaded into it. Exits with its argument, a number; "wait"
// waits for a line first.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

int main(int argc, char** argv) {
  const std::vector<char> memory(1000, 'x');
  std::printf("static, %zu bytes\n", memory.size());
  std::fflush(stdout);
  if (argc > 1 && std::strcmp(argv[1], "wait") == 0) std::getchar();
  return argc > 1 ? std::atoi(argv[1]) : 0;
}
