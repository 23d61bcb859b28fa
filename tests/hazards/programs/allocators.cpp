// Whatever allocator it is linked with or given: the same calls, the same books.
#include <malloc.h>
#include <stdlib.h>

#include <cstdio>
#include <new>
#include <thread>
#include <vector>

#include "opaque.h"

namespace {

void work() {
  pairs(100, 1001);
  for (int i = 0; i < 100; ++i) {
    void* block = g_calloc(1, 1002);
    block = g_realloc(block, 1003);
    g_free(block);
    if (posix_memalign(&block, 128, 1004) == 0) g_free(block);
    block = aligned_alloc(64, 1024);
    g_free(block);
    block = memalign(64, 1006);
    g_free(block);
    block = reallocarray(nullptr, 7, 144);
    block = reallocarray(block, 7, 145);
    g_free(block);
    block = ::operator new(1007);
    KEEP(block);
    ::operator delete(block);
    block = ::operator new[](1009, std::align_val_t{128});
    KEEP(block);
    ::operator delete[](block, std::align_val_t{128});
    // Freed by the other name, as some programs do.
    block = ::operator new(1010);
    KEEP(block);
    ::operator delete (block, size_t{1010});
  }
}

}  // namespace

int main() {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  work();
  std::printf("usable %d\n", malloc_usable_size(g_malloc(1011)) >= 1011);
  std::fflush(stdout);
  // Some throw, some end the program.
  volatile size_t huge = size_t{1} << 60;
  try {
    void* block = ::operator new(huge);
    ::operator delete(block);
  } catch (const std::bad_alloc&) {
    std::printf("bad_alloc\n");
  }
  pairs(1, 1012);
  return 0;
}
