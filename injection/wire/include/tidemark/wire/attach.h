// How a collector starts and ends the recording of a process that runs already: it makes a thread
// of the process load libtidemark_preload.so and call one of two functions that the library
// exports. Both are called at a point where the thread holds no lock of libc's or the loader's
// (collector/attach), by one thread at a time, and may take such locks.
#pragma once

#include <cstdint>

namespace tidemark::wire {

inline constexpr uint32_t kAttachVersion = 1;
inline constexpr const char* kAttachSymbol = "tidemark_attach";
inline constexpr const char* kDetachSymbol = "tidemark_detach";

// Do not renumber: it is the answer of a library that may be of another build.
enum class AttachResult : int64_t {
  kDone = 0,
  kOtherBuild = 1,       // of the library that is loaded there already
  kAlreadyRecorded = 2,  // by a collector that lives
  kNoArena = 3,          // it cannot be opened or mapped from inside the process
  kNoMemory = 4,
  kNothingToHook = 5,  // no malloc was found that other modules are bound to
  kNotRecorded = 6,    // detach: there was nothing to end
};

// In the memory of the process. In: the first four. Out: the rest, when the result is kDone.
struct AttachRequest {
  uint32_t version;  // kAttachVersion
  uint32_t reserved_;
  // detach: of which recording; "": of one whose collector is gone.
  char arena[128];           // "<path>:<nonce in hex>", as in kArenaVariable
  char library[512];         // of the library, for children
  uint64_t heap_in_use;      // bytes that malloc had handed out before; 0 unknown
  uint32_t modules;          // whose bindings are redirected
  uint32_t slots;            // bindings that are
  uint32_t foreign_modules;  // left alone: they have an allocator of their own
  uint32_t pending_modules;  // left for later: being loaded just now
};
static_assert(sizeof(AttachRequest) == 672);

// extern "C" int64_t tidemark_attach(AttachRequest*);
// extern "C" int64_t tidemark_detach(AttachRequest*);
using AttachFunction = int64_t (*)(AttachRequest*);

}  // namespace tidemark::wire
