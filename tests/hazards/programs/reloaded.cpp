// A small library, built twice with different contents at the same addresses: RELOADED is 1 or 2.
#include <cstddef>
#include <cstdlib>

#define NAME_(name, n) name##n
#define NAME(name, n) NAME_(name, n)

namespace {
void* (*volatile g_malloc)(size_t) = std::malloc;
void (*volatile g_free)(void*) = std::free;
void* g_at_load = nullptr;

[[gnu::constructor]] void load() { g_at_load = g_malloc(5000 + RELOADED); }
[[gnu::destructor]] void unload() { g_free(g_at_load); }
}  // namespace

extern "C" [[gnu::noinline]] void* NAME(only_in_, RELOADED)(size_t bytes) {
  void* block = g_malloc(bytes);
  asm volatile("" : "+r"(block) : : "memory");
  return block;
}
extern "C" void* allocate(size_t bytes) {
  void* block = NAME(only_in_, RELOADED)(bytes);
  asm volatile("" : "+r"(block) : : "memory");
  return block;
}
extern "C" void allocate_and_free(size_t bytes) {
  g_free(allocate(bytes));
  asm volatile("" : : : "memory");
}
extern "C" void release(void* block) {
  g_free(block);
  asm volatile("" : : : "memory");
}
