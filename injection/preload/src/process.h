// What this process is in the recording: its arena, its identity, and whether events are wanted.
//
// One word answers the hot question. It lies in a page that the kernel wipes in a forked child
// (MADV_WIPEONFORK), so that "not yet started", "switched off" and "this is a fork" are told apart
// by a single load, also after a raw clone() that runs no handler.
#pragma once

#include <atomic>
#include <cstdint>

#include "tidemark/stack/mixed.h"
#include "tidemark/stack/seen_set.h"
#include "tidemark/stack/stack_cache.h"
#include "tidemark/wire/attach.h"
#include "tidemark/wire/layout.h"

namespace tidemark::preload {

enum class State : uint32_t {
  kUnknown = 0,    // not started, or forked since
  kStarting = 1,   // some thread is at it; events of others meanwhile wait for it
  kOff = 2,        // not recorded
  kRecording = 3,  // device and pool events only
  kRecordingHost = 4,
};

struct Process {
  wire::ArenaHeader* arena = nullptr;
  uint8_t* slots = nullptr;   // first ring slot
  uint32_t mapped_slots = 0;  // as many as this process mapped
  std::atomic<uint32_t>* state = nullptr;
  uint64_t key = 0;
  uint64_t parent_key = 0;
  bool forked = false;
  bool attached = false;           // recorded since some moment, not since it started
  std::atomic<bool> ended{false};  // detached: what is forked from now on is not recorded either
  // Another pid namespace than the collector's: our numbers for processes are not its own.
  bool other_pids = false;
  bool take_stacks = false;
  bool take_free_stacks = false;  // of the heap
  bool take_python = false;
  bool use_tsc = false;  // ArenaHeader::clock
  stack::SeenSet seen;   // stacks and names that were published
  // Modules unloaded so far. Part of a stack's id: the same addresses then mean other code.
  std::atomic<uint32_t> unloads{0};
  stack::StackCache* stack_caches = nullptr;  // one for each slot
  stack::MixedStack* mixed_stacks = nullptr;  // one for each slot; nullptr: no Python frames
};
extern Process g_process;
extern std::atomic<std::atomic<uint32_t>*> g_state;

inline State state() {
  return static_cast<State>(
      g_state.load(std::memory_order_relaxed)->load(std::memory_order_acquire));
}

// Brings the process out of kUnknown: maps the arena, or finds that there is none, or continues as
// a forked child. Returns the new state.
State start();
// Whether host events are wanted now.
[[gnu::always_inline]] inline bool recording_host() {
  const State now = state();
  if (__builtin_expect(now == State::kRecordingHost, 1)) return true;
  if (now == State::kRecording || now == State::kOff) return false;
  return start() == State::kRecordingHost;
}
[[gnu::always_inline]] inline bool recording() {
  const State now = state();
  if (now == State::kRecordingHost || now == State::kRecording) return true;
  if (now == State::kOff) return false;
  const State started = start();
  return started == State::kRecordingHost || started == State::kRecording;
}
// A process that runs already (wire/attach.h), on one thread. prepare_attach() leaves the process
// in kOff with everything ready; commit_attach() makes its events count. end_attach() ends a
// recording of any kind: hooks pass everything on from then on.
wire::AttachResult prepare_attach(const struct ArenaAddress& address);
void commit_attach();
bool end_attach();
// Whether it is being recorded, by a collector that lives.
bool recorded_now();

// For good: the collector is gone. The program runs on as if never recorded.
void stop_recording();

// Numbers of the calling thread, in the collector's pid namespace where they can be found out: our
// own /proc may be the collector's, or the one of our namespace, or there may be none.
struct Ids {
  int32_t pid;
  int32_t tid;
  int32_t parent_pid;
  bool foreign;  // they are our namespace's and may name others in the collector's
};
Ids visible_ids();

// From now on the calling thread dies of reading the time stamp counter, which is all that a clock
// is without a system call (strict seccomp, PR_SET_TSC): its events keep their order, a tick apart.
void stop_clock();
void count_loss(wire::Loss loss, uint64_t count = 1);
uint64_t now_ns();

}  // namespace tidemark::preload
