// A program with a malloc of its own, which no preloaded library can stand before: it is linked
// first. It leaves reallocarray to libc, whose own calls realloc by name and so comes back here;
// whoever answers it by libc's realloc hands a foreign block to libc and ends the program.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <new>

namespace {
alignas(16) char g_memory[1 << 20];
size_t g_used = 0;
size_t g_calls = 0;

struct Head {
  size_t bytes;
  size_t pad;
};
}  // namespace

extern "C" {
void* malloc(size_t bytes) {
  const size_t need = sizeof(Head) + ((bytes + 15) & ~size_t{15});
  if (g_used + need > sizeof g_memory) {
    errno = ENOMEM;
    return nullptr;
  }
  ++g_calls;
  auto* head = reinterpret_cast<Head*>(g_memory + g_used);
  g_used += need;
  head->bytes = bytes;
  return head + 1;
}
void free(void*) {}
void* calloc(size_t count, size_t bytes) {
  void* block = malloc(count * bytes);
  if (block != nullptr) memset(block, 0, count * bytes);
  return block;
}
void* realloc(void* old, size_t bytes) {
  void* block = malloc(bytes);
  if (block == nullptr || old == nullptr) return block;
  const size_t before = (static_cast<Head*>(old) - 1)->bytes;
  memcpy(block, old, before < bytes ? before : bytes);
  return block;
}
}

int main() {
  // Through pointers, so that the compiler does not know what it calls.
  void* (*volatile allocate)(size_t) = malloc;
  void* (*volatile array)(void*, size_t, size_t) = reallocarray;
  char* text = strdup("its own");
  text = static_cast<char*>(array(text, 100, 10));
  const bool mine = text >= g_memory && text < g_memory + sizeof g_memory;
  int* number = new int(7);
  std::printf("%s, %s, %d\n", text, mine ? "mine" : "not mine", *number);
  delete number;
  for (int i = 0; i < 100; ++i) free(allocate(1001));
  return 0;
}
