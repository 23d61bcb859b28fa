// The functions that our exported ones stand before.
//
// dlsym may allocate while it resolves them; such requests come from a small static buffer, which
// lives for ever (`free` of it does nothing), so that no block ever meets another allocator's free.
#pragma once

#include <dlfcn.h>
#include <sys/types.h>

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
bool real_functions_ready();

// The static buffer for requests made meanwhile.
void* early_allocate(size_t bytes, size_t alignment);
bool is_early(const void* address);

// The next definition of `name` after ours in the global scope, else in a C++ runtime that was
// loaded locally (by a Python extension, say). nullptr when there is none.
void* find_next(const char* name);

}  // namespace tidemark::preload
