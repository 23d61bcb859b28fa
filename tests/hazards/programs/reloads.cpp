// Libraries that come and go: two of them take turns at one address, so that the same return
// addresses mean first one function and then another; loading and unloading in one thread while
// others allocate, throw and fork (the loader's lock is held now and then: libunwind takes it at a
// cache miss, gperftools #1210, memray #662); a library in a namespace of its own; a library that
// binds to libc past us (RTLD_DEEPBIND).
//
//   reloads turns|storm|namespace|deepbind LIBRARY_1 LIBRARY_2
#include <dlfcn.h>
#include <link.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "opaque.h"

namespace {

constexpr int kTurns = 50;
using Allocate = void* (*)(size_t);
using Pairs = void (*)(size_t);

template <class Function>
Function find(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

uintptr_t base_of(void* library) {
  link_map* map = nullptr;
  dlinfo(library, RTLD_DI_LINKMAP, &map);
  return map->l_addr;
}

int turns(char** libraries) {
  std::vector<uintptr_t> bases[2];
  for (int turn = 0; turn < kTurns; ++turn) {
    for (int which = 0; which < 2; ++which) {
      void* library = dlopen(libraries[which], RTLD_NOW);
      if (library == nullptr) return 1;
      bases[which].push_back(base_of(library));
      // The first thing that happens after loading; then once more, with everything cached.
      const auto bytes = static_cast<size_t>(1001 + which);
      g_free(find<Allocate>(library, "allocate")(bytes));
      find<Pairs>(library, "allocate_and_free")(bytes);
      dlclose(library);
    }
  }
  bool same = true;
  for (int turn = 0; turn < kTurns; ++turn) {
    same = same && bases[0][static_cast<size_t>(turn)] == bases[1][static_cast<size_t>(turn)];
  }
  std::printf("same address: %s\n", same ? "yes" : "no");
  return 0;
}

NOINLINE void throw_below(int depth) {
  if (depth == 0) throw std::runtime_error("thrown");
  throw_below(depth - 1);
  STAY();
}

int storm(char** libraries) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> busy;
  for (int i = 0; i < 3; ++i) {
    busy.emplace_back([&stop] {
      while (!stop) {
        pairs(20, 1003);
        try {
          throw_below(5);
        } catch (const std::exception&) {
        }
      }
    });
  }
  int wrong = 0;
  for (int i = 0; i < 150; ++i) {
    void* library = dlopen(libraries[i % 2], i % 3 == 0 ? RTLD_LAZY : RTLD_NOW);
    if (library == nullptr) return 1;
    find<Pairs>(library, "allocate_and_free")(static_cast<size_t>(1001 + i % 2));
    if (i % 10 == 0) {
      const pid_t child = fork();
      if (child == 0) {
        find<Pairs>(library, "allocate_and_free")(1004);
        _exit(5);
      }
      int status = 0;
      waitpid(child, &status, 0);
      wrong += !WIFEXITED(status) || WEXITSTATUS(status) != 5;
    }
    dlclose(library);
  }
  stop = true;
  for (std::thread& thread : busy) thread.join();
  std::printf("wrong: %d\n", wrong);
  return 0;
}

// It gets a libc of its own there, whose malloc is not ours to see.
int name_space(char** libraries) {
  void* library = dlmopen(LM_ID_NEWLM, libraries[0], RTLD_NOW);
  if (library == nullptr) return 1;
  for (int i = 0; i < 100; ++i) {
    find<Pairs>(library, "allocate_and_free")(1001);
    pairs(1, 1002);
  }
  dlclose(library);
  std::printf("another namespace\n");
  return 0;
}

int deepbind(char** libraries) {
  void* library = dlopen(libraries[0], RTLD_NOW | RTLD_DEEPBIND);
  if (library == nullptr) return 1;
  const auto allocate = find<Allocate>(library, "allocate");
  const auto release = find<void (*)(void*)>(library, "release");
  // Across the border, both ways.
  for (int i = 0; i < 100; ++i) {
    g_free(allocate(1001));
    release(g_malloc(1002));
    pairs(1, 1003);
  }
  std::printf("bound deeply\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  if (std::strcmp(argv[1], "turns") == 0) return turns(argv + 2);
  if (std::strcmp(argv[1], "storm") == 0) return storm(argv + 2);
  if (std::strcmp(argv[1], "namespace") == 0) return name_space(argv + 2);
  if (std::strcmp(argv[1], "deepbind") == 0) return deepbind(argv + 2);
  return 2;
}
