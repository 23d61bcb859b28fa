// A function whose implementation is chosen by a resolver that runs while the loader relocates, in
// this program and in what it loads: hooks may be called before anything of ours is relocated or
// constructed. Here the resolver asks for memory by the program's own name for it.
#include <cstdio>

#include "opaque.h"

extern "C" {
int chosen_first() { return 1; }
int chosen_second() { return 2; }

using Chosen = int (*)();
Chosen resolve_chosen() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("sse2") ? chosen_first : chosen_second;
}
int chosen() __attribute__((ifunc("resolve_chosen")));
}

int main() {
  pairs(10, 1001);
  std::printf("chosen %d\n", chosen());
  return 0;
}
