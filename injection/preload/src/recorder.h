// From a hook to the ring: the thread's state, stacks, and records. Everything here is callable
// from any thread at any time, inside allocators and signal handlers; it takes no lock, allocates
// nothing from the target, and leaves errno alone.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "tidemark/stack/unwind.h"
#include "tidemark/wire/records.h"
#include "tidemark/wire/ring_producer.h"

namespace tidemark::preload {

// Small: it lives in static TLS, of which a late-loaded library gets little.
struct ThreadState {
  wire::RingProducer ring;
  uint64_t process_key = 0;  // of the ring; another one means: forked since
  uint32_t slot = 0;
  uint32_t paused = 0;     // our own calls into other libraries
  uint32_t capturing = 0;  // a stack is being taken: a signal handler must not share scratch
  bool inside = false;     // an event is being written, here or in what a signal interrupted
  // The frame from which a capture publishes more than itself (the names of Python frames); 0:
  // none.
  uint64_t publishing = 0;
  uint8_t exit_rounds = 0;  // how often the thread's destructor has been called
  bool closed = false;      // the thread is past its destructors: each event takes a ring and
                            // gives it back
  wire::Api pending_new = wire::Api::kUnknown;  // operator new is about to call malloc
  size_t pending_size = 0;  // … for this many bytes, or, as runtimes round up and add to it, …
  size_t pending_most = 0;  // … at most this many
  const stack::Context* pending_caller = nullptr;  // … on behalf of this
  const void* recorded_new = nullptr;              // … and malloc recorded this
  // Not 0: this thread must not read any clock (stop_clock); these count its events instead.
  uint64_t stopped_ticks = 0;
  uint64_t stopped_ns = 0;
  const void* recorded_delete = nullptr;  // operator delete recorded this; free will see it
};
extern thread_local constinit ThreadState t_thread [[gnu::tls_model("initial-exec")]];

inline bool thread_paused() { return t_thread.paused != 0; }

// Code whose host events are not the program's (wire/client.h: disregard_module).
struct Disregarded {
  std::atomic<uint64_t> start;
  std::atomic<uint64_t> bytes;
};
extern Disregarded g_disregarded;
[[gnu::always_inline]] inline bool disregarded(const stack::Context& caller) {
  return caller.ip - g_disregarded.start.load(std::memory_order_relaxed) <
         g_disregarded.bytes.load(std::memory_order_relaxed);
}

// While one lives, this thread's host events are not the program's and are not recorded.
class Pause {
 public:
  Pause() { ++t_thread.paused; }
  ~Pause() { --t_thread.paused; }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;
};

wire::StackId capture(const stack::Context& caller);

void record_heap_alloc(wire::Api api, const void* address, size_t size,
                       const stack::Context& caller);
void record_heap_free(wire::Api api, const void* address, const stack::Context& caller);
void record_pool_free(wire::Api api, const void* address, const stack::Context& caller);
void record_map(wire::Api api, const void* address, size_t size, const stack::Context& caller);
void record_unmap(wire::Api api, const void* address, size_t size, const stack::Context& caller);
// The last free or unmap of this thread did not happen.
void record_undo();
// Any record with its Header at the front; fills the ring of this thread.
void publish(const void* record);
// A record with text or an array behind its fixed part; `parts` are laid one after the other.
struct Part {
  const void* data;
  size_t bytes;
};
// False when it was dropped.
bool publish_long(const wire::PythonCode& record, const Part* parts, size_t part_count);
// Before the first module is seen (python_host.cpp).
void connect_python();
// What was found of an interpreter in an earlier recording is this one's too.
void report_python_again();
wire::NameId intern(const char* text);
void publish_meta(const char* key, const char* value);
// `tid`: of the thread that is named; 0: the calling one.
void publish_thread_name(const char* name, int32_t tid = 0);
// ProcessStart and the modules, once per process image, before its first event.
void publish_process_start();
void publish_process_exit();
void close_thread();

}  // namespace tidemark::preload
