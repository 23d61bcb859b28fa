// A library whose constructor waits for threads, while whoever loads it holds the loader's lock.
#include <cstdio>
#include <new>
#include <thread>
#include <vector>

#include "opaque.h"

namespace {

struct AtLoading {
  AtLoading() {
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([] {
        constexpr std::align_val_t kAlignment{64};
        void* block = ::operator new[](1009, kAlignment);
        KEEP(block);
        ::operator delete[](block, kAlignment);
      });
    }
    for (std::thread& thread : threads) thread.join();
    std::printf("8 threads\n");
  }
} at_loading;

}  // namespace
