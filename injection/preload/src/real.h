// The functions that our exported ones stand before.
//
// dlsym may allocate while it resolves them; such requests come from a small static buffer, which
// lives for ever (`free` of it does nothing), so that no block ever meets another allocator's free.
#pragma once

#include <dlfcn.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tidemark::preload {

struct RealFunctions {
  void* (*malloc)(size_t);
  void* (*calloc)(size_t, size_t);
  void* (*realloc)(void*, size_t);
  void* (*reallocarray)(void*, size_t, size_t);
  void (*free)(void*);
  int (*posix_memalign)(void**, size_t, size_t);
  void* (*aligned_alloc)(size_t, size_t);
  void* (*memalign)(size_t, size_t);
  void* (*valloc)(size_t);
  void* (*pvalloc)(size_t);
  void* (*mmap)(void*, size_t, int, int, int, off_t);
  void* (*mmap64)(void*, size_t, int, int, int, off_t);
  int (*munmap)(void*, size_t);
  void* (*mremap)(void*, size_t, size_t, int, ...);
};
extern RealFunctions g_real;

// Fills g_real. Cheap when done; safe when it enters itself through an allocation of dlsym's.
void resolve_real_functions();
// False only while they are being resolved.
extern std::atomic<uint32_t> g_resolved;  // 0 no, 1 under way, 2 done
[[gnu::always_inline]] inline bool real_functions_ready() {
  return g_resolved.load(std::memory_order_acquire) == 2;
}

// The static buffer for requests made meanwhile.
inline constexpr size_t kEarlyBytes = size_t{64} * 1024;
extern uint8_t g_early[kEarlyBytes];
void* early_allocate(size_t bytes, size_t alignment);
[[gnu::always_inline]] inline bool is_early(const void* address) {
  return reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(g_early) < kEarlyBytes;
}

// The next definition of `name` after ours in the global scope, else in a C++ runtime that was
// loaded locally (by a Python extension, say). nullptr when there is none. Waits for the loader's
// lock.
void* find_next(const char* name);
// Only in the C++ runtimes that are loaded. Waits for nobody.
void* find_in_runtimes(const char* name);

}  // namespace tidemark::preload
