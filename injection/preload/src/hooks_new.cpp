// operator new and delete in all forms, by their Itanium-mangled names (no C++ runtime is ours).
//
// The program's own operator new does the work, so that its new_handler, its exceptions and its
// choice of allocator stay. It usually calls malloc, whose hook records the block under the name
// left in `pending_new`; when it does not (tcmalloc), it is recorded here. Deleting is recorded
// here, first, and the free hook recognizes the address.
#include <dlfcn.h>
#include <link.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "hooks.h"
#include "process.h"
#include "real.h"
#include "recorder.h"

namespace tidemark::preload {
namespace {

using wire::Api;

[[gnu::always_inline]] inline bool wanted() { return recording_host() && !thread_paused(); }

// The next definition of a function, looked up at its first call. While there is none (a C++
// runtime linked into a library that hides it), looking again becomes ever rarer: it reads all
// mappings.
//
// At the start all are looked up that are there by then: dlsym waits for the loader's lock, which a
// thread may hold while it waits for another one in a constructor.
class Next {
 public:
  constexpr explicit Next(const char* name) : name_(name) {}
  template <class Function>
  Function get() {
    void* known = function_.load(std::memory_order_acquire);
    if (__builtin_expect(known == nullptr, 0)) known = look_up();
    return reinterpret_cast<Function>(known);
  }
  void look_up_early(bool any_runtime) {
    void* found = any_runtime ? dlsym(RTLD_NEXT, name_) : nullptr;
    came_later_.store(found == nullptr, std::memory_order_relaxed);
    function_.store(found, std::memory_order_release);
  }

 private:
  // Who comes while another thread is looking for the first time looks too: that nobody has found
  // it yet does not mean that there is none.
  [[gnu::noinline]] void* look_up() {
    if (missing_.load(std::memory_order_relaxed)) {
      const uint32_t call = misses_.fetch_add(1, std::memory_order_relaxed);
      if ((call & (call - 1)) != 0) return nullptr;  // not the 1st, 2nd, 3rd, 5th, 9th, 17th, …
    }
    // What the program loaded later it mostly keeps to itself, where dlsym does not see it.
    void* found = came_later_.load(std::memory_order_relaxed) ? find_in_runtimes(name_) : nullptr;
    if (found == nullptr) found = find_next(name_);
    if (found == nullptr) {
      missing_.store(true, std::memory_order_relaxed);
    } else {
      function_.store(found, std::memory_order_release);
    }
    return found;
  }

  const char* name_;
  std::atomic<bool> came_later_{false};
  std::atomic<bool> missing_{false};
  std::atomic<uint32_t> misses_{0};
  std::atomic<void*> function_{nullptr};
};

// What operator new adds to a request before it calls malloc: rounding to an alignment, a head.
constexpr size_t kMostAdded = 8192;

template <class Call>
[[gnu::always_inline]] inline void* allocate(Api api, size_t size, const stack::Context& caller,
                                             Call call) {
  if (!wanted()) return call();
  ThreadState& thread = t_thread;
  // operator new[] calls operator new: one allocation, named by what the program called.
  if (thread.pending_new != Api::kUnknown) return call();
  if (disregarded(caller)) {
    thread.pending_new = Api::kCount;  // the malloc of this call is not recorded
    void* address = call();
    thread.pending_new = Api::kUnknown;
    return address;
  }
  thread.pending_size = size;
  thread.pending_most = size + kMostAdded < size ? SIZE_MAX : size + kMostAdded;
  thread.pending_caller = &caller;
  thread.pending_new = api;
  thread.recorded_new = nullptr;
  void* address = call();  // may throw: forget_pending_new()
  thread.pending_new = Api::kUnknown;
  if (address != nullptr && thread.recorded_new != address) {
    record_heap_alloc(api, address, size, caller);
  }
  return address;
}

[[gnu::always_inline]] inline void about_to_delete(Api api, void* address,
                                                   const stack::Context& caller) {
  // Sized, aligned and array forms call the plain one in turn.
  if (address == nullptr || !wanted() || t_thread.recorded_delete == address) return;
  if (!disregarded(caller)) record_heap_free(api, address, caller);
  t_thread.recorded_delete = address;
}

// A C++ runtime that exists nowhere as a library: linked into something that hides it, and yet
// bound to us. There is no exception to be had.
void* without_runtime(size_t alignment, size_t size, bool nothrow) {
  if (size == 0) size = 1;
  void* address = alignment == 0 ? std::malloc(size) : nullptr;
  if (alignment != 0 && posix_memalign(&address, alignment, size) != 0) address = nullptr;
  if (address == nullptr && !nothrow) std::abort();
  return address;
}

}  // namespace
}  // namespace tidemark::preload

using namespace tidemark::preload;  // the file is its hooks
using tidemark::stack::caller_context;
using tidemark::wire::Api;

// Called by the unwinder for each frame of a hook of operator new that an exception (or the end of
// the thread) passes through: the pending name must not stay behind for the next malloc. As a
// personality routine of our own it needs no C++ runtime: there is nothing to land on.
extern "C" [[gnu::visibility("hidden"), gnu::used]] int tidemark_forget_pending_new(
    int /*version*/, int actions, uint64_t /*kind*/, void* /*exception*/, void* /*context*/) {
  constexpr int kCleanupPhase = 2;
  constexpr int kContinueUnwind = 8;
  if ((actions & kCleanupPhase) != 0) t_thread.pending_new = Api::kUnknown;
  return kContinueUnwind;
}
// 0x1b: four bytes, relative to where they lie.
#define TIDEMARK_FORGETS_PENDING_NEW() \
  asm volatile(".cfi_personality 0x1b, tidemark_forget_pending_new")

// NAME is the mangled name; the parameters after the size are passed on as they came.
#define TIDEMARK_NEW(NAME, API, ALIGNMENT, NOTHROW, PARAMETERS, ARGUMENTS, TYPES) \
  constinit Next g_next_##NAME(#NAME);                                            \
  TIDEMARK_EXPORT void* NAME PARAMETERS {                                         \
    TIDEMARK_FORGETS_PENDING_NEW();                                               \
    auto real = g_next_##NAME.get<void*(*)TYPES>();                               \
    const auto caller = caller_context();                                         \
    if (real == nullptr) return without_runtime(ALIGNMENT, size, NOTHROW);        \
    return allocate(API, size, caller, [&] { return real ARGUMENTS; });           \
  }

TIDEMARK_NEW(_Znwm, Api::kNew, 0, false, (size_t size), (size), (size_t))
TIDEMARK_NEW(_Znam, Api::kNewArray, 0, false, (size_t size), (size), (size_t))
TIDEMARK_NEW(_ZnwmRKSt9nothrow_t, Api::kNew, 0, true, (size_t size, const void* tag), (size, tag),
             (size_t, const void*))
TIDEMARK_NEW(_ZnamRKSt9nothrow_t, Api::kNewArray, 0, true, (size_t size, const void* tag),
             (size, tag), (size_t, const void*))
TIDEMARK_NEW(_ZnwmSt11align_val_t, Api::kNewAligned, alignment, false,
             (size_t size, size_t alignment), (size, alignment), (size_t, size_t))
TIDEMARK_NEW(_ZnamSt11align_val_t, Api::kNewArrayAligned, alignment, false,
             (size_t size, size_t alignment), (size, alignment), (size_t, size_t))
TIDEMARK_NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, Api::kNewAligned, alignment, true,
             (size_t size, size_t alignment, const void* tag), (size, alignment, tag),
             (size_t, size_t, const void*))
TIDEMARK_NEW(_ZnamSt11align_val_tRKSt9nothrow_t, Api::kNewArrayAligned, alignment, true,
             (size_t size, size_t alignment, const void* tag), (size, alignment, tag),
             (size_t, size_t, const void*))

#define TIDEMARK_DELETE(NAME, API, PARAMETERS, ARGUMENTS, TYPES) \
  constinit Next g_next_##NAME(#NAME);                           \
  TIDEMARK_EXPORT void NAME PARAMETERS {                         \
    auto real = g_next_##NAME.get<void(*) TYPES>();              \
    about_to_delete(API, address, caller_context());             \
    if (real == nullptr) {                                       \
      std::free(address);                                        \
    } else {                                                     \
      real ARGUMENTS;                                            \
    }                                                            \
    t_thread.recorded_delete = nullptr;                          \
  }

TIDEMARK_DELETE(_ZdlPv, Api::kDelete, (void* address), (address), (void*))
TIDEMARK_DELETE(_ZdaPv, Api::kDeleteArray, (void* address), (address), (void*))
TIDEMARK_DELETE(_ZdlPvm, Api::kDelete, (void* address, size_t size), (address, size),
                (void*, size_t))
TIDEMARK_DELETE(_ZdaPvm, Api::kDeleteArray, (void* address, size_t size), (address, size),
                (void*, size_t))
TIDEMARK_DELETE(_ZdlPvRKSt9nothrow_t, Api::kDelete, (void* address, const void* tag),
                (address, tag), (void*, const void*))
TIDEMARK_DELETE(_ZdaPvRKSt9nothrow_t, Api::kDeleteArray, (void* address, const void* tag),
                (address, tag), (void*, const void*))
TIDEMARK_DELETE(_ZdlPvSt11align_val_t, Api::kDelete, (void* address, size_t alignment),
                (address, alignment), (void*, size_t))
TIDEMARK_DELETE(_ZdaPvSt11align_val_t, Api::kDeleteArray, (void* address, size_t alignment),
                (address, alignment), (void*, size_t))
TIDEMARK_DELETE(_ZdlPvmSt11align_val_t, Api::kDelete,
                (void* address, size_t size, size_t alignment), (address, size, alignment),
                (void*, size_t, size_t))
TIDEMARK_DELETE(_ZdaPvmSt11align_val_t, Api::kDeleteArray,
                (void* address, size_t size, size_t alignment), (address, size, alignment),
                (void*, size_t, size_t))
TIDEMARK_DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, Api::kDelete,
                (void* address, size_t alignment, const void* tag), (address, alignment, tag),
                (void*, size_t, const void*))
TIDEMARK_DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, Api::kDeleteArray,
                (void* address, size_t alignment, const void* tag), (address, alignment, tag),
                (void*, size_t, const void*))

namespace tidemark::preload {

namespace {

// A library whose name begins like that of a C++ runtime.
int find_runtime(dl_phdr_info* info, size_t /*bytes*/, void* found) {
  const char* slash = std::strrchr(info->dlpi_name, '/');
  const char* file = slash == nullptr ? info->dlpi_name : slash + 1;
  for (const char* runtime : {"libstdc++.so.", "libc++.so.", "libc++abi.so."}) {
    if (std::strncmp(file, runtime, std::strlen(runtime)) == 0) *static_cast<bool*>(found) = true;
  }
  return 0;
}

}  // namespace

void resolve_new_and_delete() {
  // To look for what is not there makes the loader take memory for its message, from the program's
  // malloc.
  bool runtime = false;
  dl_iterate_phdr(find_runtime, &runtime);
  for (Next* next : {&g_next__Znwm,
                     &g_next__Znam,
                     &g_next__ZnwmRKSt9nothrow_t,
                     &g_next__ZnamRKSt9nothrow_t,
                     &g_next__ZnwmSt11align_val_t,
                     &g_next__ZnamSt11align_val_t,
                     &g_next__ZnwmSt11align_val_tRKSt9nothrow_t,
                     &g_next__ZnamSt11align_val_tRKSt9nothrow_t,
                     &g_next__ZdlPv,
                     &g_next__ZdaPv,
                     &g_next__ZdlPvm,
                     &g_next__ZdaPvm,
                     &g_next__ZdlPvRKSt9nothrow_t,
                     &g_next__ZdaPvRKSt9nothrow_t,
                     &g_next__ZdlPvSt11align_val_t,
                     &g_next__ZdaPvSt11align_val_t,
                     &g_next__ZdlPvmSt11align_val_t,
                     &g_next__ZdaPvmSt11align_val_t,
                     &g_next__ZdlPvSt11align_val_tRKSt9nothrow_t,
                     &g_next__ZdaPvSt11align_val_tRKSt9nothrow_t}) {
    next->look_up_early(runtime);
  }
}

}  // namespace tidemark::preload
