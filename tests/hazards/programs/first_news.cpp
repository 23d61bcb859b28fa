// Many threads whose very first call of each form of operator new comes at the same time: while one
// of them is still looking for the real one, the others must not do without it. And threads whose
// first call comes while the loader's lock is held by one that waits for them: it must not be
// waited for.
//
//   first_news            | first_news LIBRARY    which waits for threads in its constructor
#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <new>
#include <thread>
#include <vector>

#include "opaque.h"

namespace {

constexpr int kThreads = 32;
constexpr std::align_val_t kAlignment{64};

std::atomic<int> g_arrived{0};

// Spins: a thread that sleeps comes late.
void together(int round) {
  g_arrived.fetch_add(1);
  while (g_arrived.load() < kThreads * (round + 1)) std::this_thread::yield();
}

void all_forms() {
  void* blocks[8];
  together(0);
  blocks[0] = ::operator new(1001);
  together(1);
  blocks[1] = ::operator new[](1002);
  together(2);
  blocks[2] = ::operator new(1003, std::nothrow);
  together(3);
  blocks[3] = ::operator new[](1004, std::nothrow);
  together(4);
  blocks[4] = ::operator new(1005, kAlignment);
  together(5);
  blocks[5] = ::operator new[](1006, kAlignment);
  together(6);
  blocks[6] = ::operator new(1007, kAlignment, std::nothrow);
  together(7);
  blocks[7] = ::operator new[](1008, kAlignment, std::nothrow);
  for (void*& block : blocks) KEEP(block);
  ::operator delete(blocks[0]);
  ::operator delete[](blocks[1]);
  ::operator delete(blocks[2], std::nothrow);
  ::operator delete[](blocks[3], std::nothrow);
  ::operator delete(blocks[4], kAlignment);
  ::operator delete[](blocks[5], kAlignment);
  ::operator delete(blocks[6], kAlignment, std::nothrow);
  ::operator delete[](blocks[7], kAlignment, std::nothrow);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) return dlopen(argv[1], RTLD_NOW) == nullptr ? 1 : 0;
  // Made before any of them begins, or the last would come when the first is done.
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(all_forms);
  for (std::thread& thread : threads) thread.join();
  std::printf("done\n");
  return 0;
}
