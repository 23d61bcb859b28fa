// Linked statically: nothing can be preloaded into it. Exits with its argument.
#include <cstdio>
#include <cstdlib>
#include <vector>

int main(int argc, char** argv) {
  const std::vector<char> memory(1000, 'x');
  std::printf("static, %zu bytes\n", memory.size());
  return argc > 1 ? std::atoi(argv[1]) : 0;
}
