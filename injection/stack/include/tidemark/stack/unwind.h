// Native call stacks of the calling thread, by the call frame information that compilers leave in
// .eh_frame, with every rule that was ever needed cached by instruction address.
//
// Why not libunwind at record time: its static archive is not position independent on Debian, so it
// would have to be loaded beside the target's libraries, where (1) its lazily allocated
// thread-local caches call malloc and take the loader's lock at each thread's first stack, inside
// the very hooks that must not, and (2) its exported _Unwind_* functions replace libgcc's for the
// whole program. tests/ hold this unwinder against libunwind frame by frame.
//
// Thread-safe, async-signal-safe, takes no lock but a module refresh at an unknown address,
// allocates nothing, reads only the stack between the frame it starts from and the thread's
// outermost frame.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tidemark::stack {

// Where to start: the registers of a caller as they will be once its callee has returned.
struct Context {
  uint64_t ip;  // return address
  uint64_t sp;
  uint64_t bp;
};

// The caller of the function in which it is used, which must keep a frame pointer (injection/ is
// compiled with -fno-omit-frame-pointer).
[[gnu::always_inline]] inline Context caller_context() {
  const auto* frame = static_cast<const uint64_t*>(__builtin_frame_address(0));
  return {frame[1], reinterpret_cast<uint64_t>(frame + 2), frame[0]};
}

enum class Ending : uint8_t {
  kOutermost,   // the whole stack
  kTruncated,   // `capacity` reached
  kIncomplete,  // a frame without unwind information: callers of it are missing, some (the chain of
                // frame pointers led on) or all
};

struct Unwound {
  uint32_t count = 0;
  Ending ending = Ending::kOutermost;
  bool through_signal = false;  // a signal handler is, or called, the innermost of them
};

// Return addresses, innermost (context.ip) first.
Unwound unwind(const Context& context, uint64_t* addresses, uint32_t capacity);

// Memory goes away: stacks that lay there are not read any more without asking.
void forget_pages(uint64_t start, uint64_t bytes);

// After an unload: rules of addresses that may now belong to other code are forgotten.
void forget_rules();

}  // namespace tidemark::stack
