// The two functions through which a process that runs already comes to be recorded, and ceases to
// be (wire/attach.h). Called by one thread at a time, at a point where it holds no lock of libc's.
//
// Attaching: redirect everything first, record afterwards. What passes through hooks meanwhile is
// not recorded, so that no block is seen to begin whose end could still be missed. Detaching: the
// other way round.
#include "tidemark/wire/attach.h"

#include <dlfcn.h>
#include <malloc.h>

#include <cstring>

#include "bindings.h"
#include "environment.h"
#include "hooks.h"
#include "process.h"
#include "real.h"
#include "recorder.h"
#include "tidemark/stack/modules.h"
#include "tidemark/stack/syscalls.h"
#include "tidemark/stack/unwind.h"

namespace tidemark::preload {

void retire_ended_arena();  // process.cpp

namespace {

using wire::AttachRequest;
using wire::AttachResult;

// What libc's malloc has handed out; 0 where another allocator serves the program.
uint64_t heap_in_use() {
  struct Info {  // struct mallinfo2, since glibc 2.33
    size_t fields[10];
  };
  constexpr size_t kMapped = 4;  // hblkhd
  constexpr size_t kInUse = 7;   // uordblks
  auto* ask = reinterpret_cast<Info (*)()>(dlsym(RTLD_DEFAULT, "mallinfo2"));
  if (ask == nullptr) return 0;
  const stack::Module* theirs = stack::find_module(reinterpret_cast<uint64_t>(ask), true);
  const stack::Module* used = stack::find_module(reinterpret_cast<uint64_t>(g_real.malloc), true);
  if (theirs == nullptr || theirs != used) return 0;
  const Info info = ask();
  return info.fields[kMapped] + info.fields[kInUse];
}

bool redirected() { return !bound_by_the_loader(); }

AttachResult attach(AttachRequest& request) {
  if (request.version != wire::kAttachVersion) return AttachResult::kOtherBuild;
  if (strnlen(request.arena, sizeof request.arena) == sizeof request.arena ||
      strnlen(request.library, sizeof request.library) == sizeof request.library) {
    return AttachResult::kOtherBuild;
  }
  Pause pause;
  const AttachResult prepared = prepare_attach(parse_arena_address(request.arena));
  if (prepared != AttachResult::kDone) return prepared;
  stack::invalidate_modules();
  stack::forget_rules();
  invent_environment(request.arena, request.library);
  if (redirected()) {
    if (!find_real_functions()) return AttachResult::kNothingToHook;
    const BindingCounts counts = redirect_all();
    request.modules = counts.modules;
    request.slots = counts.slots;
    request.foreign_modules = counts.foreign_modules;
    request.pending_modules = counts.pending_modules;
    if (counts.slots == 0) return AttachResult::kNothingToHook;
  }
  request.heap_in_use = heap_in_use();
  commit_attach();
  extend_own_environment();
  return AttachResult::kDone;
}

AttachResult detach(AttachRequest& request) {
  if (request.version != wire::kAttachVersion) return AttachResult::kOtherBuild;
  Pause pause;
  if (request.arena[0] == 0 ? recorded_now() : !is_remembered_arena(request.arena)) {
    return AttachResult::kAlreadyRecorded;
  }
  const bool recorded = end_attach();
  restore_own_environment();
  if (redirected()) restore_all();
  retire_ended_arena();
  return recorded ? AttachResult::kDone : AttachResult::kNotRecorded;
}

}  // namespace
}  // namespace tidemark::preload

TIDEMARK_EXPORT int64_t tidemark_attach(tidemark::wire::AttachRequest* request) {
  return static_cast<int64_t>(tidemark::preload::attach(*request));
}
TIDEMARK_EXPORT int64_t tidemark_detach(tidemark::wire::AttachRequest* request) {
  return static_cast<int64_t>(tidemark::preload::detach(*request));
}
