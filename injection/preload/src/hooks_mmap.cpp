// The mmap family: layer `os`. What libc and the loader map for themselves does not come through
// here (they call the kernel directly), which keeps thread stacks and libraries out of the
// program's own mappings.
#include <sys/mman.h>

#include <cstdarg>

#include "hooks.h"
#include "process.h"
#include "real.h"
#include "recorder.h"

namespace tidemark::preload {
namespace {

using wire::Api;

constexpr size_t kPage = 4096;

[[gnu::always_inline]] inline bool wanted() { return recording_host() && !thread_paused(); }
size_t whole_pages(size_t bytes) { return (bytes + kPage - 1) & ~(kPage - 1); }

void gone(const void* address, size_t bytes) {
  stack::forget_pages(reinterpret_cast<uint64_t>(address), bytes);
}

void mapped(Api api, void* address, size_t bytes, const stack::Context& caller) {
  if (address == MAP_FAILED || !wanted()) return;
  record_map(api, address, whole_pages(bytes), caller);
}

void ensure_real() {
  if (!real_functions_ready()) resolve_real_functions();
}

}  // namespace
}  // namespace tidemark::preload

using namespace tidemark::preload;  // the file is its hooks
using tidemark::stack::caller_context;
using tidemark::wire::Api;

TIDEMARK_EXPORT void* mmap(void* hint, size_t bytes, int protection, int flags, int fd,
                           off_t offset) {
  ensure_real();
  void* address = g_real.mmap(hint, bytes, protection, flags, fd, offset);
  mapped(Api::kMmap, address, bytes, caller_context());
  return address;
}

TIDEMARK_EXPORT void* mmap64(void* hint, size_t bytes, int protection, int flags, int fd,
                             off_t offset) {
  ensure_real();
  void* address = g_real.mmap64(hint, bytes, protection, flags, fd, offset);
  mapped(Api::kMmap, address, bytes, caller_context());
  return address;
}

TIDEMARK_EXPORT int munmap(void* address, size_t bytes) {
  ensure_real();
  const bool record = wanted() && bytes != 0 && reinterpret_cast<uintptr_t>(address) % kPage == 0;
  if (record) record_unmap(Api::kMunmap, address, whole_pages(bytes), caller_context());
  const int result = g_real.munmap(address, bytes);
  gone(address, bytes);
  if (record && result != 0) record_undo();
  return result;
}

TIDEMARK_EXPORT void* mremap(void* old, size_t old_bytes, size_t new_bytes, int flags, ...) {
  ensure_real();
  va_list arguments;
  va_start(arguments, flags);
  // Present only with MREMAP_FIXED or MREMAP_DONTUNMAP; passing it on otherwise is harmless.
  void* fixed = (flags & ~MREMAP_MAYMOVE) != 0 ? va_arg(arguments, void*) : nullptr;
  va_end(arguments);
  const bool record = wanted();
  const auto caller = caller_context();
  // A length of 0 duplicates a shared mapping, and MREMAP_DONTUNMAP keeps the old range: nothing
  // ends.
  const bool ends = old_bytes != 0 && (flags & 4 /* MREMAP_DONTUNMAP */) == 0;
  if (record && ends) record_unmap(Api::kMremap, old, whole_pages(old_bytes), caller);
  void* address = g_real.mremap(old, old_bytes, new_bytes, flags, fixed);
  gone(old, old_bytes);
  if (!record) return address;
  if (address != MAP_FAILED) {
    record_map(Api::kMremap, address, whole_pages(new_bytes), caller);
  } else if (ends) {
    record_undo();
  }
  return address;
}
