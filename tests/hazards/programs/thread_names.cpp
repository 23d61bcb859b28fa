// Threads that get their names in each of the ways there are, long after their first allocation.
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace {

pthread_barrier_t g_begun, g_named;

enum Way : long { kBySelf, kByPrctl, kByAnother, kNever };

void allocate() {
  void* volatile block = malloc(6001);  // volatile: or the compiler leaves both out
  free(block);
}

void* work(void* way) {
  allocate();  // has a ring, under the name of its creator
  if (reinterpret_cast<long>(way) == kBySelf) pthread_setname_np(pthread_self(), "by itself");
  if (reinterpret_cast<long>(way) == kByPrctl) prctl(PR_SET_NAME, "by prctl");
  pthread_barrier_wait(&g_begun);
  pthread_barrier_wait(&g_named);
  allocate();
  return nullptr;
}

}  // namespace

int main(int argument_count, char**) {
  pthread_barrier_init(&g_begun, nullptr, 5);
  pthread_barrier_init(&g_named, nullptr, 5);
  pthread_t threads[4];
  for (long way = kBySelf; way <= kNever; ++way) {
    pthread_create(&threads[way], nullptr, work, reinterpret_cast<void*>(way));
  }
  pthread_barrier_wait(&g_begun);
  pthread_setname_np(threads[kByAnother], "by another");
  if (argument_count > 1) {  // these threads never end: they are named while they live
    sleep(2);
    std::puts("going");
    std::fflush(stdout);
    _exit(0);
  }
  pthread_barrier_wait(&g_named);
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  std::puts("done");
}
