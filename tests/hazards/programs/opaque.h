// Calls that the compiler may neither leave out nor turn into something else.
#pragma once

#include <cstddef>
#include <cstdlib>

#define NOINLINE [[gnu::noinline]]
// Keeps a call from being the last thing that a function does, so that its frame is on the stack.
#define KEEP(value) asm volatile("" : "+r"(value) : : "memory")
#define STAY() asm volatile("" : : : "memory")

inline void* (*volatile g_malloc)(size_t) = std::malloc;
inline void* (*volatile g_calloc)(size_t, size_t) = std::calloc;
inline void* (*volatile g_realloc)(void*, size_t) = std::realloc;
inline void (*volatile g_free)(void*) = std::free;

inline void pairs(int count, size_t bytes) {
  for (int i = 0; i < count; ++i) g_free(g_malloc(bytes));
}
