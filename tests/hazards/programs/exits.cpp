// Every way to end, with allocations before it and in whatever still runs then: atexit, quick_exit,
// destructors of thread_local and of pthread keys in every round, of statics; and the ways in which
// nothing runs any more. A recorder with buffers of its own loses them here (heaptrack keeps 4 KiB
// back at a SIGKILL), or reports memory that its hooks touch after their own destructors.
//
//   exits return|exit|quick_exit|_exit|abort|kill|thread|pthread_exit|handler
// Blocks: 1001 before the end, 1002 at exit, 1003 at quick_exit, 1004 in a destructor of a static,
// 1005 in a thread_local's, 1006 in each round of a pthread key's. The last one of each is kept.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "opaque.h"

namespace {

constexpr int kPairs = 100;
pthread_key_t g_key;

void pairs_and_one_kept(size_t bytes) {
  pairs(kPairs, bytes);
  volatile void* kept = g_malloc(bytes);
  kept = kept;
}

struct AtExit {
  ~AtExit() { pairs_and_one_kept(1004); }
} g_static;

struct InThread {
  int used = 0;
  ~InThread() { pairs_and_one_kept(1005); }
};
thread_local InThread t_local;

// Asks for every round that there is, so that some of them come after our own destructor.
void key_destructor(void* round) {
  pairs_and_one_kept(1006);
  const auto count = reinterpret_cast<uintptr_t>(round);
  if (count < 20) pthread_setspecific(g_key, reinterpret_cast<void*>(count + 1));
}

void work() {
  t_local.used = 1;
  pthread_setspecific(g_key, reinterpret_cast<void*>(uintptr_t{1}));
  pairs_and_one_kept(1001);
}

void end(const char* how) {
  std::fflush(stdout);
  if (std::strcmp(how, "exit") == 0) std::exit(3);
  if (std::strcmp(how, "quick_exit") == 0) std::quick_exit(4);
  if (std::strcmp(how, "_exit") == 0) _exit(5);
  if (std::strcmp(how, "abort") == 0) std::abort();
  if (std::strcmp(how, "kill") == 0) kill(getpid(), SIGKILL);
  if (std::strcmp(how, "handler") == 0) {
    signal(SIGUSR1, [](int) { std::exit(6); });
    raise(SIGUSR1);
  }
  if (std::strcmp(how, "thread") == 0) std::thread([] { std::exit(7); }).join();
  if (std::strcmp(how, "pthread_exit") == 0) pthread_exit(nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  pthread_key_create(&g_key, key_destructor);
  std::atexit([] { pairs_and_one_kept(1002); });
  std::at_quick_exit([] { pairs_and_one_kept(1003); });
  std::thread worker(work);
  worker.join();
  pairs_and_one_kept(1001);
  t_local.used = 1;
  std::printf("ending by %s\n", argv[1]);
  end(argv[1]);
  return 0;
}
