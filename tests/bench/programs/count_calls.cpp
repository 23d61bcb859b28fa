// The benchmark's own count of what reached the allocator: preloaded together with a recorder, it
// stands between it and libc, and adds up in a file that all processes of the run share. A recorder
// whose trace holds another number has lost or invented events.
//
//   COUNT_CALLS=FILE COUNT_CALLS_BESIDE=NAME LD_PRELOAD=libcount_calls.so RECORDER PROGRAM…
//
// FILE must hold 16 bytes: allocations made, blocks freed (native 64-bit numbers). realloc of a
// block counts as both. Only processes that have a library with NAME in its path preloaded as well
// are counted: the recorder's own are not. As in a recorder, nothing is allocated here.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

struct Counts {
  uint64_t allocations, frees;
};
Counts g_unmapped;
constinit Counts* g_counts = &g_unmapped;

struct Real {
  void* (*malloc)(size_t);
  void* (*calloc)(size_t, size_t);
  void* (*realloc)(void*, size_t);
  void (*free)(void*);
  int (*posix_memalign)(void**, size_t, size_t);
  void* (*aligned_alloc)(size_t, size_t);
  void* (*memalign)(size_t, size_t);
  void* (*valloc)(size_t);
  void* (*pvalloc)(size_t);
} g_real;
constinit bool g_ready = false;
constinit bool g_starting = false;

// For what dlsym allocates while we look the real functions up; never given back.
alignas(64) char g_early[1 << 16];
size_t g_early_used = 0;
void* early(size_t size) {
  const size_t at = g_early_used;
  g_early_used += (size + 63) & ~size_t{63};
  return g_early_used <= sizeof g_early ? g_early + at : nullptr;
}
bool is_early(const void* address) {
  return address >= g_early && address < g_early + sizeof g_early;
}

template <class Function>
void find(Function* function, const char* name) {
  *function = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
  if (*function == nullptr) std::abort();
}

// Runs before there is a second thread: the first allocation of a process is the loader's.
bool ready() {
  if (g_ready) return true;
  if (g_starting) return false;
  g_starting = true;
  find(&g_real.malloc, "malloc");
  find(&g_real.calloc, "calloc");
  find(&g_real.realloc, "realloc");
  find(&g_real.free, "free");
  find(&g_real.posix_memalign, "posix_memalign");
  find(&g_real.aligned_alloc, "aligned_alloc");
  find(&g_real.memalign, "memalign");
  find(&g_real.valloc, "valloc");
  find(&g_real.pvalloc, "pvalloc");
  const char* path = std::getenv("COUNT_CALLS");
  const char* beside = std::getenv("COUNT_CALLS_BESIDE");
  const char* preloaded = std::getenv("LD_PRELOAD");
  if (path != nullptr &&
      (beside == nullptr || (preloaded != nullptr && std::strstr(preloaded, beside) != nullptr))) {
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    void* shared = fd < 0
                       ? MAP_FAILED
                       : mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED) std::abort();
    close(fd);
    g_counts = static_cast<Counts*>(shared);
  }
  g_ready = true;
  return true;
}

void* allocated(void* address) {
  if (address != nullptr) __atomic_fetch_add(&g_counts->allocations, 1, __ATOMIC_RELAXED);
  return address;
}
void freed() { __atomic_fetch_add(&g_counts->frees, 1, __ATOMIC_RELAXED); }

}  // namespace

extern "C" {
[[gnu::visibility("default")]] void* malloc(size_t size) {
  return ready() ? allocated(g_real.malloc(size)) : early(size);
}
[[gnu::visibility("default")]] void* calloc(size_t count, size_t size) {
  return ready() ? allocated(g_real.calloc(count, size)) : early(count * size);
}
[[gnu::visibility("default")]] void* realloc(void* old, size_t size) {
  if (!ready()) return early(size);
  if (is_early(old)) std::abort();  // dlsym does not do that
  void* address = g_real.realloc(old, size);
  if (old != nullptr && (address != nullptr || size == 0)) freed();
  return allocated(address);
}
[[gnu::visibility("default")]] void* reallocarray(void* old, size_t count, size_t size) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return nullptr;
  }
  return realloc(old, bytes);
}
[[gnu::visibility("default")]] void free(void* address) {
  if (address == nullptr || is_early(address) || !ready()) return;
  freed();
  g_real.free(address);
}
[[gnu::visibility("default")]] int posix_memalign(void** out, size_t alignment, size_t size) {
  if (!ready()) return ENOMEM;
  const int result = g_real.posix_memalign(out, alignment, size);
  if (result == 0) allocated(*out);
  return result;
}
[[gnu::visibility("default")]] void* aligned_alloc(size_t alignment, size_t size) {
  return ready() ? allocated(g_real.aligned_alloc(alignment, size)) : nullptr;
}
[[gnu::visibility("default")]] void* memalign(size_t alignment, size_t size) {
  return ready() ? allocated(g_real.memalign(alignment, size)) : nullptr;
}
[[gnu::visibility("default")]] void* valloc(size_t size) {
  return ready() ? allocated(g_real.valloc(size)) : nullptr;
}
[[gnu::visibility("default")]] void* pvalloc(size_t size) {
  return ready() ? allocated(g_real.pvalloc(size)) : nullptr;
}
}
