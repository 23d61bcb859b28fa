// Memory whose totals are known: grows to a peak, gives back most of it, leaks the rest; then a
// forked child does the same with less and is waited for. Deterministic but for addresses and
// times.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "opaque.h"

namespace {

__attribute__((noinline)) void* take_small() {
  void* block = g_malloc(100);
  KEEP(block);
  return block;
}
__attribute__((noinline)) void* take_large() {
  void* block = g_malloc(70'000);
  KEEP(block);
  return block;
}

void run(int rounds) {
  std::vector<void*> kept;
  kept.reserve(4096);
  for (int i = 0; i < rounds; ++i) {
    kept.push_back(take_small());
    if (i % 10 == 0) kept.push_back(take_large());
    pairs(1, 33);
  }
  void* mapped = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  std::memset(mapped, 1, 1 << 20);
  for (size_t i = 0; i < kept.size(); ++i) {
    if (i % 7 != 0)
      g_free(kept[i]);
    else
      kept[i] = g_realloc(kept[i], 50);
  }
  munmap(mapped, 1 << 19);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 1000;
  run(rounds);
  const pid_t child = fork();
  if (child == 0) {
    run(rounds / 2);
    exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}
