// A library that the user preloads already: with a malloc of its own that counts, and calls the
// next.
#include <dlfcn.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstring>

namespace {
using Malloc = void* (*)(size_t);
Malloc g_next = nullptr;
int g_calls = 0;
}  // namespace

extern "C" void* malloc(size_t bytes) {
  if (g_next == nullptr) g_next = reinterpret_cast<Malloc>(dlsym(RTLD_NEXT, "malloc"));
  if (bytes == 1001) ++g_calls;
  return g_next(bytes);
}

[[gnu::destructor]] static void tell() {
  char line[64];
  const int bytes = std::snprintf(line, sizeof line, "counted %d\n", g_calls);
  [[maybe_unused]] const ssize_t told = write(STDOUT_FILENO, line, static_cast<size_t>(bytes));
}
