// The malloc family. Allocations are recorded after the real call, frees before it; realloc is a
// free before and an allocation after, with an undo when it fails (wire/records.h says why that is
// right).
#include <atomic>
#include <cerrno>
#include <cstring>

#include "hooks.h"
#include "process.h"
#include "real.h"
#include "recorder.h"
#include "tidemark/stack/modules.h"

namespace tidemark::preload {
namespace {

using wire::Api;

// The program has a malloc of its own, but not all that goes with it: what of that comes to us is
// left out of the trace, since nobody would tell us when it is freed.
std::atomic<bool> g_other_malloc{false};

[[gnu::always_inline]] inline bool wanted() { return recording_host() && !thread_paused(); }

// Our exported functions may run before anything else in the process.
[[gnu::always_inline]] inline bool ready() {
  if (__builtin_expect(real_functions_ready(), 1)) return true;
  resolve_real_functions();
  return real_functions_ready();  // false while dlsym itself allocates
}

[[gnu::always_inline]] inline void allocated(Api api, const void* address, size_t size,
                                             const stack::Context& caller) {
  if (!wanted()) return;
  if (api != Api::kMalloc && g_other_malloc.load(std::memory_order_relaxed)) return;
  ThreadState& thread = t_thread;
  Api for_new = thread.pending_new;
  if (__builtin_expect(for_new != Api::kUnknown, 0)) {
    if (address == nullptr || (size >= thread.pending_size && size <= thread.pending_most)) {
      thread.pending_new = Api::kUnknown;
    } else if (for_new != Api::kCount) {
      for_new = Api::kUnknown;  // of the exception that operator new is about to throw, say
    }
  }
  if (address == nullptr || for_new == Api::kCount) return;
  if (for_new == Api::kUnknown && disregarded(caller)) return;
  thread.recorded_new = address;
  if (for_new != Api::kUnknown) {
    record_heap_alloc(for_new, address, thread.pending_size, *thread.pending_caller);
  } else {
    record_heap_alloc(api, address, size, caller);
  }
}

[[gnu::always_inline]] inline void about_to_free(Api api, const void* address,
                                                 const stack::Context& caller) {
  if (!wanted()) return;
  ThreadState& thread = t_thread;
  if (__builtin_expect(thread.recorded_delete == address, 0)) {
    thread.recorded_delete = nullptr;  // operator delete has recorded it
    return;
  }
  if (!disregarded(caller)) record_heap_free(api, address, caller);
}

template <class Call>
[[gnu::always_inline]] inline void* reallocate(Api api, void* old, size_t size,
                                               const stack::Context& caller, Call call) {
  const bool record =
      wanted() && !disregarded(caller) && !g_other_malloc.load(std::memory_order_relaxed);
  if (record && old != nullptr) record_heap_free(api, old, caller);
  void* address = call();
  if (!record) return address;
  if (address != nullptr) {
    record_heap_alloc(api, address, size, caller);
  } else if (old != nullptr && size != 0) {
    record_undo();
  }
  return address;
}

// realloc of a block from the early buffer, whose size is not kept: copies as much as there can be.
void* move_early(void* old, size_t size) {
  void* address = malloc(size);
  if (address != nullptr) std::memcpy(address, old, size < 4096 ? size : 4096);
  return address;
}

}  // namespace
}  // namespace tidemark::preload

using namespace tidemark::preload;  // the file is its hooks
using tidemark::stack::caller_context;
using tidemark::wire::Api;

TIDEMARK_EXPORT void* malloc(size_t size) {
  if (!ready()) return early_allocate(size, 16);
  void* address = g_real.malloc(size);
  allocated(Api::kMalloc, address, size, caller_context());
  return address;
}

// The name by which we know our own, whoever else is called malloc.
extern "C" [[gnu::visibility("hidden")]] void* tidemark_malloc(size_t size);
asm(".globl tidemark_malloc\n.hidden tidemark_malloc\n.set tidemark_malloc, malloc");

void tidemark::preload::look_for_other_allocators() {
  // A program that defines malloc comes before us in the order in which names are looked up.
  const Pause pause;
  const void* found = dlsym(RTLD_DEFAULT, "malloc");
  if (found == reinterpret_cast<void*>(tidemark_malloc)) return;
  // A program at a fixed address that takes malloc's address has a stub by that name, which leads
  // to ours.
  const auto* module = tidemark::stack::find_module(reinterpret_cast<uint64_t>(found), true);
  if (module != nullptr && tidemark::stack::find_symbol(*module, "malloc") != 0) {
    g_other_malloc.store(true, std::memory_order_relaxed);
    count_loss(tidemark::wire::Loss::kAllocatorsNotHooked);
  }
}

TIDEMARK_EXPORT void* calloc(size_t count, size_t size) {
  if (!ready()) return early_allocate(count * size, 16);
  void* address = g_real.calloc(count, size);
  allocated(Api::kCalloc, address, count * size, caller_context());
  return address;
}

TIDEMARK_EXPORT void* realloc(void* old, size_t size) {
  if (!ready()) return early_allocate(size, 16);
  if (__builtin_expect(is_early(old), 0)) return move_early(old, size);
  return reallocate(Api::kRealloc, old, size, caller_context(),
                    [&] { return g_real.realloc(old, size); });
}

TIDEMARK_EXPORT void* reallocarray(void* old, size_t count, size_t size) {
  if (!ready()) return nullptr;
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return nullptr;
  }
  if (__builtin_expect(is_early(old), 0)) return move_early(old, bytes);
  return reallocate(Api::kReallocarray, old, bytes, caller_context(), [&] {
    // libc's calls realloc by name: ours, or that of a program with a malloc of its own. Never
    // libc's own realloc, to which a block of such a program would be foreign.
    const Pause pause;
    return g_real.reallocarray(old, count, size);
  });
}

TIDEMARK_EXPORT void free(void* address) {
  if (address == nullptr || __builtin_expect(is_early(address), 0)) return;
  if (!ready()) return;
  about_to_free(Api::kFree, address, caller_context());
  g_real.free(address);
}

TIDEMARK_EXPORT int posix_memalign(void** out, size_t alignment, size_t size) {
  if (!ready()) return (*out = early_allocate(size, alignment)) == nullptr ? ENOMEM : 0;
  const int result = g_real.posix_memalign(out, alignment, size);
  allocated(Api::kPosixMemalign, result == 0 ? *out : nullptr, size, caller_context());
  return result;
}

TIDEMARK_EXPORT void* aligned_alloc(size_t alignment, size_t size) {
  if (!ready()) return early_allocate(size, alignment);
  void* address = g_real.aligned_alloc(alignment, size);
  allocated(Api::kAlignedAlloc, address, size, caller_context());
  return address;
}

TIDEMARK_EXPORT void* memalign(size_t alignment, size_t size) {
  if (!ready()) return early_allocate(size, alignment);
  void* address = g_real.memalign(alignment, size);
  allocated(Api::kMemalign, address, size, caller_context());
  return address;
}

TIDEMARK_EXPORT void* valloc(size_t size) {
  if (!ready()) return early_allocate(size, 4096);
  void* address = g_real.valloc(size);
  allocated(Api::kValloc, address, size, caller_context());
  return address;
}

TIDEMARK_EXPORT void* pvalloc(size_t size) {
  if (!ready()) return early_allocate((size + 4095) & ~size_t{4095}, 4096);
  void* address = g_real.pvalloc(size);
  allocated(Api::kPvalloc, address, size, caller_context());
  return address;
}
