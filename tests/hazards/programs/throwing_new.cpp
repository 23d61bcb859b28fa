// An operator new of the program's own libraries that throws without ever having called malloc, and
// one that is replaced by the program: what the hook had noted for malloc must not stay behind.
#include <cstdio>
#include <cstdlib>
#include <new>

#include "opaque.h"

// From libpool.so: an operator new that hands out memory of its own until that has run out.
extern "C" int pool_left();

int main() {
  int thrown = 0;
  for (int i = 0; i < 50; ++i) {
    try {
      void* block = ::operator new(1001);
      KEEP(block);
      ::operator delete(block);
    } catch (const std::bad_alloc&) {
      ++thrown;
      pairs(1, 1002);
    }
  }
  for (int i = 0; i < 20; ++i) {
    void* block = ::operator new(1003, std::nothrow);
    if (block != nullptr) std::abort();
    pairs(1, 1004);
  }
  std::printf("thrown %d, left %d\n", thrown, pool_left());
  return 0;
}
