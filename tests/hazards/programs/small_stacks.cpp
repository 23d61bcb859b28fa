// The smallest stack that pthread_create gives, and one thread after the other on it: a recorder
// that needs kilobytes of stack for itself overflows it. (heaptrack takes 64 frames and a buffer
// of 4 KiB; libunwind's cursor alone has 1 KiB.)
#include <dlfcn.h>
#include <pthread.h>

#include <climits>
#include <cstdio>

#include "opaque.h"

namespace {

constexpr int kThreads = 100;

void* work(void*) {
  pairs(10, 1001);
  return nullptr;
}

// The first allocation below a library that was just loaded makes the table of modules anew.
void* work_in_a_new_library(void* argument) {
  void* library = dlopen(static_cast<const char*>(argument), RTLD_NOW);
  if (library == nullptr) return nullptr;
  using Allocate = void (*)(size_t);
  const auto allocate = reinterpret_cast<Allocate>(dlsym(library, "allocate_and_free"));
  allocate(2002);
  dlclose(library);
  return argument;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN);
  for (int i = 0; i < kThreads; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, work, nullptr) != 0) return 1;
    pthread_join(thread, nullptr);
  }
  // dlopen itself needs more.
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  pthread_t thread;
  void* result = nullptr;
  if (pthread_create(&thread, &attributes, work_in_a_new_library, argv[1]) != 0) return 1;
  pthread_join(thread, &result);
  std::printf("%d threads, library %s\n", kThreads, result == nullptr ? "missing" : "used");
  return 0;
}
