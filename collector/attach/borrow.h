// Makes a running process load a library and call one function of it, on one of its own threads,
// which is then put back to exactly where it was. Needs no debugger and writes no byte of the
// program's memory but dead stack.
//
//   1  one thread at a time is stopped and looked at, until one is met that holds no lock of libc's
//      or the loader's (danger_map.h); all others run
//   2  that thread maps some memory for us (two system calls, from its own stack)
//   3  it runs the stub there (call_stub.h): all other threads still run, or dlopen could wait for
//      a lock that one of them holds
//   4  it is stopped, the memory is unmapped, registers and signal mask are put back; an
//   interrupted
//      system call is restarted by the kernel as after any stop
//
// At each point the thread finds its way back by itself should we be killed. Blocks; call it from a
// thread of its own, since the process may wait for the collector meanwhile. One call at a time for
// each process.
#pragma once

#include <cstdint>
#include <string>

#include "process_facts.h"
#include "tidemark/trace/result.h"

namespace tidemark::collector {

struct RemoteCall {
  std::string library;       // absolute
  std::string function;      // extern "C" int64_t function(void*)
  std::string watched_path;  // exists as long as we do
  void* argument = nullptr;  // of `argument_bytes`; copied there, and back
  size_t argument_bytes = 0;
};

// What the function returned. Errors: why it could not be called; the process runs on.
[[nodiscard]] Result<int64_t> call_in_process(const ProcessFacts& facts, const RemoteCall& call);

// Waits until each thread has been seen outside our library, which must be switched off there: what
// it keeps for a recording can then be used for the next. Errors: one stays in it.
[[nodiscard]] Result<void> wait_until_outside(const ProcessFacts& facts);

}  // namespace tidemark::collector
