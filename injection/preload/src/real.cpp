#include "real.h"

#include <atomic>
#include <cstring>

#include "bindings.h"
#include "recorder.h"
#include "tidemark/stack/modules.h"

namespace tidemark::preload {
namespace {

std::atomic<size_t> g_early_used{0};

template <class Function>
void resolve(Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

RealFunctions g_real;
std::atomic<uint32_t> g_resolved{0};
alignas(64) uint8_t g_early[kEarlyBytes];

void resolve_real_functions() {
  uint32_t expected = 0;
  if (!g_resolved.compare_exchange_strong(expected, 1)) return;
  RealFunctions real{};
  resolve(real.malloc, "malloc");
  resolve(real.calloc, "calloc");
  resolve(real.realloc, "realloc");
  resolve(real.reallocarray, "reallocarray");
  resolve(real.free, "free");
  resolve(real.posix_memalign, "posix_memalign");
  resolve(real.aligned_alloc, "aligned_alloc");
  resolve(real.memalign, "memalign");
  resolve(real.valloc, "valloc");
  resolve(real.pvalloc, "pvalloc");
  resolve(real.mmap, "mmap");
  resolve(real.mmap64, "mmap64");
  resolve(real.munmap, "munmap");
  resolve(real.mremap, "mremap");
  g_real = real;
  g_resolved.store(2, std::memory_order_release);
}

void* early_allocate(size_t bytes, size_t alignment) {
  if (alignment < 16) alignment = 16;
  if (bytes > sizeof g_early) return nullptr;
  const size_t need = bytes + alignment;
  const size_t used = g_early_used.fetch_add(need, std::memory_order_relaxed);
  if (used + need > sizeof g_early) return nullptr;
  const auto address = reinterpret_cast<uintptr_t>(g_early + used);
  return reinterpret_cast<void*>((address + alignment - 1) & ~(alignment - 1));
}

void* find_next(const char* name) {
  if (void* real = attached_real(name)) return real;
  if (void* next = dlsym(RTLD_NEXT, name)) return next;
  return find_in_runtimes(name);
}

void* find_in_runtimes(const char* name) {
  if (void* real = attached_real(name)) return real;
  for (const char* runtime : {"libstdc++.so.6", "libc++.so.1", "libc++abi.so.1"}) {
    const stack::Module* module = stack::find_module_by_name(runtime);
    if (module == nullptr) continue;
    if (const uint64_t symbol = stack::find_symbol(*module, name)) {
      return reinterpret_cast<void*>(symbol);
    }
  }
  return nullptr;
}

}  // namespace tidemark::preload
