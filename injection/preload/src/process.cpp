#include "process.h"

#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#include <cstdlib>
#include <cstring>

#include "environment.h"
#include "real.h"
#include "recorder.h"
#include "tidemark/stack/modules.h"
#include "tidemark/stack/syscalls.h"

namespace tidemark::preload {
namespace {

std::atomic<uint32_t> g_not_started{static_cast<uint32_t>(State::kUnknown)};
std::atomic<int32_t> g_starter{0};  // tid that is in start()
pthread_key_t g_thread_key;

constexpr uint32_t kFewSlots = 64;  // where the address space is limited

void set_state(State state) {
  g_process.state->store(static_cast<uint32_t>(state), std::memory_order_release);
}

// A page of its own for the state word, wiped in forked children.
bool create_state_page() {
  auto* page = static_cast<std::atomic<uint32_t>*>(sys::map_anonymous(wire::kPageBytes));
  if (page == nullptr) return false;
  // On kernels before 4.14 a fork is noticed by the atfork handler alone.
  sys::advise(page, wire::kPageBytes, MADV_WIPEONFORK);
  g_process.state = page;
  return true;
}

bool map_arena(const char* path, uint64_t nonce) {
  const long fd = sys::open_read_write(path);
  if (fd < 0) return false;
  // Address space, not memory: a slot's pages appear when a thread uses it.
  uint32_t slots = wire::kRingCount;
  if (sys::address_space_limit() != ~uint64_t{0}) slots = kFewSlots;
  void* arena = nullptr;
  for (; slots >= 8; slots /= 4) {
    arena = sys::map_shared(static_cast<int>(fd), wire::ring_offset(slots));
    if (arena != nullptr) break;
  }
  sys::close(static_cast<int>(fd));
  if (arena == nullptr) return false;
  auto* header = static_cast<wire::ArenaHeader*>(arena);
  if (header->magic != wire::kArenaMagic || header->version != wire::kWireVersion ||
      header->nonce != nonce || header->ring_data_bytes != wire::kRingDataBytes) {
    sys::unmap(arena, wire::ring_offset(slots));
    return false;
  }
  sys::advise(arena, wire::ring_offset(slots), MADV_DONTDUMP);
  g_process.arena = header;
  g_process.slots = static_cast<uint8_t*>(arena) + wire::kPageBytes;
  g_process.mapped_slots = slots < header->ring_count ? slots : header->ring_count;
  return true;
}

// Also while threads use what an earlier recording left: nothing that they may hold goes away, and
// a thread that is late in a hook does not share a cache with the new owner of its slot.
bool read_options() {
  const wire::ArenaHeader& arena = *g_process.arena;
  g_process.take_stacks = arena.stacks != wire::Stacks::kNone;
  g_process.use_tsc = arena.clock == wire::Clock::kTsc;
  g_process.take_python = arena.stacks == wire::Stacks::kAll;
  auto* caches = static_cast<stack::StackCache*>(
      sys::map_anonymous(size_t{g_process.mapped_slots} * sizeof(stack::StackCache)));
  if (caches == nullptr) return false;
  const bool first = g_process.stack_caches == nullptr;
  g_process.stack_caches = caches;
  if (g_process.take_python) {
    auto* mixed = static_cast<stack::MixedStack*>(
        sys::map_anonymous(size_t{g_process.mapped_slots} * sizeof(stack::MixedStack)));
    if (mixed == nullptr) return false;
    const bool first_python = g_process.mixed_stacks == nullptr;
    g_process.mixed_stacks = mixed;
    if (first_python) connect_python();
  }
  return !first || g_process.seen.create();
}

void on_thread_exit(void* /*round*/) { close_thread(); }
// Brings the child into the trace even if it never allocates, and on kernels without WIPEONFORK.
void on_fork_child() {
  set_state(State::kUnknown);
  start();
}

void new_key() {
  g_process.key = now_ns() * 0x9e3779b97f4a7c15ULL ^ static_cast<uint64_t>(sys::pid());
  if (g_process.key == 0) g_process.key = 1;
}

State recording_state() {
  return g_process.arena->record_host != 0 ? State::kRecordingHost : State::kRecording;
}

// Once for the life of the process.
void watch_threads_and_forks() {
  static bool watching = false;
  if (watching) return;
  watching = true;
  pthread_key_create(&g_thread_key, on_thread_exit);
  pthread_atfork(nullptr, nullptr, on_fork_child);
}

State begin_first() {
  if (!create_state_page()) return State::kOff;
  g_state.store(g_process.state, std::memory_order_release);
  set_state(State::kStarting);
  const ArenaAddress address = arena_address();
  // valgrind's malloc stands before ours, and its search for leaks would walk through all of the
  // arena, which takes half a minute and makes memory of every page.
  if (address.path[0] == 0 || under_valgrind()) return State::kOff;
  if (!map_arena(address.path, address.nonce) || !read_options()) return State::kOff;
  remember_environment();
  new_key();
  watch_threads_and_forks();
  return recording_state();
}

State begin_forked() {
  set_state(State::kStarting);
  if (g_process.arena == nullptr || g_process.ended.load(std::memory_order_relaxed)) {
    return State::kOff;
  }
  if (!g_process.seen.renew()) return State::kOff;
  stack::reset_modules_after_fork();
  g_process.parent_key = g_process.key;
  g_process.forked = true;
  new_key();
  return recording_state();
}

// A thread that a detach found in the middle of a hook still writes to the arena that was: it gets
// memory of nobody's in its place, which is never given back.
void retire_arena() {
  if (g_process.arena == nullptr) return;
  sys::replace_by_nothing(g_process.arena, wire::ring_offset(g_process.mapped_slots));
}

bool collector_lives() {
  const int32_t pid = g_process.arena == nullptr ? 0 : g_process.arena->collector_pid;
  return pid != 0 && sys::process_exists(pid);
}

}  // namespace

Process g_process;
std::atomic<std::atomic<uint32_t>*> g_state{&g_not_started};

State start() {
  const int32_t me = sys::tid();
  int32_t other = 0;
  if (!g_starter.compare_exchange_strong(other, me, std::memory_order_acquire)) {
    // After fork the starter of the parent may be recorded here; only this thread exists.
    if (other == me) return State::kOff;  // our own calls while starting
    if (g_process.state != nullptr && state() == State::kUnknown && g_process.arena != nullptr) {
      g_starter.store(me, std::memory_order_relaxed);
    } else {
      while (state() <= State::kStarting && g_starter.load(std::memory_order_acquire) != 0) {
        sys::futex_wait(&g_starter, static_cast<uint32_t>(other), 1);
      }
      return state();
    }
  }
  State now = state();
  if (now == State::kUnknown) {
    Pause pause;
    resolve_real_functions();
    now = g_process.state == nullptr ? begin_first() : begin_forked();
    if (g_process.state == nullptr) {
      g_not_started.store(static_cast<uint32_t>(State::kOff));
      return State::kOff;
    }
    // Before any event of another thread, which waits for the state.
    if (now != State::kOff) publish_process_start();
    set_state(now);
  }
  g_starter.store(0, std::memory_order_release);
  sys::futex_wake(&g_starter, 64);
  return now;
}

void stop_recording() { set_state(State::kOff); }

bool recorded_now() {
  const State now = state();
  return (now == State::kRecording || now == State::kRecordingHost) && collector_lives();
}

wire::AttachResult prepare_attach(const ArenaAddress& address) {
  if (state() == State::kUnknown) start();
  if (g_process.state == nullptr) return wire::AttachResult::kNoMemory;
  if (recorded_now()) return wire::AttachResult::kAlreadyRecorded;
  set_state(State::kOff);
  retire_arena();
  if (address.path[0] == 0 || !map_arena(address.path, address.nonce)) {
    return wire::AttachResult::kNoArena;
  }
  const bool again = g_process.stack_caches != nullptr;
  if (!read_options()) return wire::AttachResult::kNoMemory;
  if (again) g_process.seen.forget();
  // Part of the ids of stacks: those that a late thread marks as published are not this
  // recording's.
  g_process.unloads.fetch_add(1, std::memory_order_relaxed);
  g_process.forked = false;
  g_process.attached = true;
  g_process.parent_key = 0;
  new_key();
  watch_threads_and_forks();
  return wire::AttachResult::kDone;
}

void commit_attach() {
  g_process.ended.store(false, std::memory_order_relaxed);
  publish_process_start();
  report_python_again();
  set_state(recording_state());
}

bool end_attach() {
  const State now = state();
  g_process.ended.store(true, std::memory_order_relaxed);
  if (g_process.state == nullptr) return false;
  set_state(State::kOff);
  return now == State::kRecording || now == State::kRecordingHost;
}

void retire_ended_arena() { retire_arena(); }

void count_loss(wire::Loss loss, uint64_t count) {
  if (g_process.arena == nullptr) return;
  g_process.arena->losses[static_cast<size_t>(loss)].fetch_add(count, std::memory_order_relaxed);
}

uint64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1000000000ULL + static_cast<uint64_t>(time.tv_nsec);
}

void watch_thread_exit(uintptr_t round) {
  pthread_setspecific(g_thread_key, reinterpret_cast<void*>(round));
}

}  // namespace tidemark::preload
