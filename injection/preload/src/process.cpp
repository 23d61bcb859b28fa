#include "process.h"

#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "environment.h"
#include "hooks.h"
#include "real.h"
#include "recorder.h"
#include "tidemark/stack/modules.h"
#include "tidemark/stack/syscalls.h"

namespace tidemark::preload {
namespace {

std::atomic<uint32_t> g_not_started{static_cast<uint32_t>(State::kUnknown)};
std::atomic<int32_t> g_starter{0};  // tid that is in start()
pthread_key_t g_thread_key;

// Where the address space is limited.
constexpr uint32_t kFewSlots = 64;
constexpr uint32_t kFewestSlots = 8;

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

bool is_ours(const wire::ArenaHeader& header, uint64_t nonce) {
  return header.magic == wire::kArenaMagic && header.version == wire::kWireVersion &&
         header.nonce == nonce && header.ring_data_bytes == wire::kRingDataBytes;
}

// Where address space is limited we take at most a quarter of what is left, or nothing at all: the
// program was counting on the rest. 0: there is too little.
uint32_t affordable_slots() {
  const uint64_t left = sys::address_space_left();
  if (left == ~uint64_t{0}) return wire::kRingCount;
  const uint64_t budget = left / 4;
  constexpr uint64_t kSlotBytes = wire::kRingSlotBytes + sizeof(stack::StackCache);
  constexpr uint64_t kFixedBytes = stack::SeenSet::kBytes + 2 * wire::kPageBytes;
  if (budget < kFixedBytes + kFewestSlots * kSlotBytes) return 0;
  const uint64_t slots = (budget - kFixedBytes) / kSlotBytes;
  return slots < kFewSlots ? static_cast<uint32_t>(slots) : kFewSlots;
}

// All that is left to do where we cannot record: the trace says so.
bool say_not_recorded(int fd, uint64_t nonce) {
  void* page = sys::map_shared(fd, wire::kPageBytes);
  if (page == nullptr) return false;
  auto* header = static_cast<wire::ArenaHeader*>(page);
  if (is_ours(*header, nonce)) {
    header->losses[static_cast<size_t>(wire::Loss::kProcessesNotRecorded)].fetch_add(1);
  }
  sys::unmap(page, wire::kPageBytes);
  return false;
}

bool map_arena(const char* path, uint64_t nonce) {
  const long fd = sys::open_read_write(path);
  if (fd < 0) return false;
  // Address space, not memory: a slot's pages appear when a thread uses it.
  const uint32_t slots = affordable_slots();
  const size_t bytes = wire::ring_offset(slots);
  void* arena = slots == 0 ? nullptr : sys::map_shared(static_cast<int>(fd), bytes);
  if (arena == nullptr) say_not_recorded(static_cast<int>(fd), nonce);
  sys::close(static_cast<int>(fd));
  if (arena == nullptr) return false;
  auto* header = static_cast<wire::ArenaHeader*>(arena);
  if (!is_ours(*header, nonce) || wire::collector_is_gone(header->collector_pid)) {
    sys::unmap(arena, bytes);
    return false;
  }
  sys::advise(arena, bytes, MADV_DONTDUMP);
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
  g_process.take_free_stacks =
      g_process.take_stacks && arena.record_host != wire::Host::kAllocStacks;
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
  if (!first || g_process.seen.create()) return true;
  count_loss(wire::Loss::kProcessesNotRecorded);
  return false;
}

// "pid:[4026531836]" → 4026531836; 0 when it cannot be read.
uint32_t pid_namespace() {
  char text[32];
  if (!sys::read_link("/proc/self/ns/pid", text, sizeof text)) return 0;
  const char* number = std::strchr(text, '[');
  return number == nullptr ? 0 : static_cast<uint32_t>(std::strtoul(number + 1, nullptr, 10));
}

void look_at_pid_namespace() {
  const uint32_t ours = pid_namespace();
  // Without /proc there is no telling: as in the parent.
  if (ours != 0) g_process.other_pids = ours != g_process.arena->pid_namespace;
}

// The fourth field of /proc/self/stat, behind a name that may hold anything.
int32_t parent_in_proc() {
  char text[512] = {};
  const long fd = sys::open_read_only("/proc/self/stat");
  if (fd < 0) return 0;
  sys::read(static_cast<int>(fd), text, sizeof text - 1);
  sys::close(static_cast<int>(fd));
  const char* state = std::strrchr(text, ')');
  return state == nullptr || std::strlen(state) < 4
             ? 0
             : static_cast<int32_t>(std::strtol(state + 4, nullptr, 10));
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
  return g_process.arena->record_host != wire::Host::kOff ? State::kRecordingHost
                                                          : State::kRecording;
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
  look_at_pid_namespace();
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
  if (sys::quiet() || !g_process.seen.renew()) {
    count_loss(wire::Loss::kProcessesNotRecorded);
    return State::kOff;
  }
  stack::reset_modules_after_fork();
  look_at_pid_namespace();
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
  return !wire::collector_is_gone(pid) && (g_process.other_pids || sys::process_exists(pid));
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
  // Before libc has begun (AddressSanitizer allocates then) nobody can say whether to record.
  if (now == State::kUnknown && g_process.state == nullptr && environ == nullptr) {
    g_starter.store(0, std::memory_order_release);
    return State::kOff;
  }
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
    if (now != State::kOff && !g_process.forked) look_for_other_allocators();
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

Ids visible_ids() {
  Ids ids{sys::pid(), sys::tid(), sys::parent_pid(), false};
  if (__builtin_expect(!g_process.other_pids, 1)) return ids;
  char text[64];
  // "1234/task/1235", as whoever mounted that /proc sees it.
  if (sys::read_link("/proc/thread-self", text, sizeof text)) {
    char* rest = nullptr;
    const auto pid = static_cast<int32_t>(std::strtol(text, &rest, 10));
    const char* tid = std::strrchr(rest, '/');
    if (pid > 0 && pid != ids.pid && tid != nullptr) {
      return {pid, static_cast<int32_t>(std::strtol(tid + 1, nullptr, 10)), parent_in_proc(),
              false};
    }
  }
  ids.foreign = true;
  return ids;
}

void count_loss(wire::Loss loss, uint64_t count) {
  if (g_process.arena == nullptr) return;
  g_process.arena->losses[static_cast<size_t>(loss)].fetch_add(count, std::memory_order_relaxed);
}

void stop_clock() {
  if (!recording() || t_thread.stopped_ns != 0) return;
  const uint64_t ns = now_ns();
  t_thread.stopped_ticks =
      g_process.arena->clock == wire::Clock::kTsc ? __builtin_ia32_rdtsc() : ns;
  t_thread.stopped_ns = ns;
  g_process.use_tsc = false;
}

uint64_t now_ns() {
  if (__builtin_expect(t_thread.stopped_ns != 0, 0)) return ++t_thread.stopped_ns;
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1000000000ULL + static_cast<uint64_t>(time.tv_nsec);
}

void watch_thread_exit(uintptr_t round) {
  pthread_setspecific(g_thread_key, reinterpret_cast<void*>(round));
}

}  // namespace tidemark::preload
