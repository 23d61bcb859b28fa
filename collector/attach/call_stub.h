// The code that a borrowed thread runs in the other process: loads a library, calls one function of
// it, says that it is done, and waits to be put back to where it was. When nobody is there to do
// that any more, it goes back by itself (signal_frame.h). It changes no errno.
//
// Position independent; CallBlock is its only data, and rbx points to it. Field order is part of
// the code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tidemark::collector {

enum class CallState : uint32_t { kRunning = 0, kDone = 1, kFailed = 2 };

struct CallBlock {
  // In: addresses in the other process.
  uint64_t errno_location;  // 0: libc's __errno_location(); never 0
  uint64_t open_library;    // 8: dlopen
  uint64_t find_symbol;     // 16: dlsym
  uint64_t last_error;      // 24: dlerror, 0 none
  uint64_t path;            // 32
  uint64_t flags;           // 40
  uint64_t symbol;          // 48: its name
  uint64_t argument;        // 56
  uint64_t watched_path;    // 64: a file that is gone when we are
  uint64_t way_back;        // 72: SignalFrame::address
  uint64_t nap_seconds;     // 80: a timespec: between two looks
  uint64_t nap_ns;          // 88
  // Out
  int64_t result;       // 96: of the function
  uint64_t error_text;  // 104: of last_error()
  CallState state;      // 112: the last to be written
  uint32_t reserved_;
};
static_assert(sizeof(CallBlock) == 120 && offsetof(CallBlock, state) == 112);

// The bytes of the code; starts at its first instruction.
std::span<const std::byte> call_stub();

}  // namespace tidemark::collector
