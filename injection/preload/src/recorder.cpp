#include "recorder.h"

#include <climits>
#include <cstring>

#include "process.h"
#include "tidemark/stack/mixed.h"
#include "tidemark/stack/modules.h"
#include "tidemark/stack/python.h"
#include "tidemark/stack/syscalls.h"
#include "tidemark/wire/stack_id.h"

namespace tidemark::preload {

void watch_thread_exit(uintptr_t round);  // process.cpp

thread_local constinit ThreadState t_thread [[gnu::tls_model("initial-exec")]];
constinit Disregarded g_disregarded{};

namespace {

using wire::Header;
using wire::RecordType;

constexpr uint32_t kWaitMilliseconds = 2;
constexpr uint32_t kAttemptsBetweenChecks = 64;

[[gnu::noinline]] void ring_doorbell() {
  g_process.arena->doorbell.fetch_add(1, std::memory_order_relaxed);
  sys::futex_wake(&g_process.arena->doorbell, 1);
}

bool wait_for_room(wire::RingHeader* ring, uint32_t released, uint32_t attempt) {
  if (attempt == wire::kNestedAttempt) {
    count_loss(wire::Loss::kEventsDroppedReentrant);
    return false;
  }
  const auto* collector = &g_process.arena->collector_pid;
  const int32_t collector_pid = __atomic_load_n(collector, __ATOMIC_RELAXED);
  // Asking for the pid is for kernels that do not tell.
  const bool ask = attempt % kAttemptsBetweenChecks == 0 && attempt != 0 && !g_process.other_pids;
  const bool gone =
      wire::collector_is_gone(collector_pid) || (ask && !sys::process_exists(collector_pid));
  if (gone) stop_recording();
  if (gone || g_process.arena->on_full == wire::OnFull::kDrop) {
    count_loss(wire::Loss::kEventsDroppedRingFull);
    return false;
  }
  ring->waiting.store(1, std::memory_order_seq_cst);
  ring_doorbell();
  sys::futex_wait(&ring->released, released, kWaitMilliseconds);
  ring->waiting.store(0, std::memory_order_relaxed);
  return true;
}

wire::RingHeader* slot_header(uint32_t slot) {
  return reinterpret_cast<wire::RingHeader*>(g_process.slots + slot * wire::kRingSlotBytes);
}

// A free slot becomes this thread's. Without a lock: the compare-exchange on its state decides.
bool claim_ring(ThreadState& thread) {
  const uint32_t slots = g_process.mapped_slots;
  const uint32_t first = g_process.arena->next_ring.fetch_add(1, std::memory_order_relaxed);
  for (uint32_t attempt = 0; attempt < kAttemptsBetweenChecks; ++attempt) {
    for (uint32_t i = 0; i < slots; ++i) {
      const uint32_t slot = (first + i) % slots;
      wire::RingHeader* ring = slot_header(slot);
      auto state = wire::RingState::kFree;
      if (ring->state.load(std::memory_order_relaxed) != wire::RingState::kFree ||
          !ring->state.compare_exchange_strong(state, wire::RingState::kClaimed,
                                               std::memory_order_acquire)) {
        continue;
      }
      const Ids ids = visible_ids();
      ring->pid = ids.pid;
      ring->tid = ids.tid;
      ring->foreign_ids = ids.foreign ? 1 : 0;
      ring->process_key = g_process.key;
      sys::thread_name(ring->thread_name);
      thread.ring.attach(ring, reinterpret_cast<uint8_t*>(ring) + wire::kPageBytes);
      thread.slot = slot;
      thread.process_key = g_process.key;
      // Of another thread, or of the parent: what was published is not.
      g_process.stack_caches[slot].clear();
      if (g_process.mixed_stacks != nullptr) g_process.mixed_stacks[slot].clear();
      ring->state.store(wire::RingState::kLive, std::memory_order_release);
      return true;
    }
    // All taken, perhaps by threads that have just ended: the collector frees those.
    if (g_process.arena->on_full == wire::OnFull::kDrop || slots == 0) break;
    ring_doorbell();
    sys::futex_wait(&g_process.arena->doorbell,
                    g_process.arena->doorbell.load(std::memory_order_relaxed), kWaitMilliseconds);
  }
  return false;
}

// This thread's ring in this process; false when there is none to be had.
[[gnu::noinline]] bool take_ring(ThreadState& thread) {
  if (thread.process_key != g_process.key) {  // forked: the ring is the parent's
    thread.ring.detach();
    thread.capturing = 0;
    thread.inside = false;
    thread.publishing = 0;
  }
  if (!claim_ring(thread)) {
    count_loss(wire::Loss::kEventsDroppedNoRing);
    return false;
  }
  if (!thread.closed && thread.exit_rounds == 0) {
    Pause pause;  // may allocate, for the first of many keys
    watch_thread_exit(1);
  }
  return true;
}
[[gnu::always_inline]] inline bool ensure_ring(ThreadState& thread) {
  if (__builtin_expect(thread.process_key == g_process.key && thread.ring.attached(), 1)) {
    return true;
  }
  return take_ring(thread);
}

[[gnu::noinline]] void release_ring(ThreadState& thread) {
  if (!thread.ring.attached() || thread.process_key != g_process.key) return;
  wire::RingHeader* ring = thread.ring.ring();
  thread.ring.detach();
  ring->state.store(wire::RingState::kClosed, std::memory_order_release);
}

// An event was begun and has not ended. Either we are in a signal handler that interrupted it, and
// it will go on, or a handler left it by longjmp and it never will: then there is no signal's frame
// on our stack, and its traces must go, or nothing would be published any more.
[[gnu::noinline]] void forget_what_was_left(ThreadState& thread) {
  if (reinterpret_cast<uint64_t>(__builtin_frame_address(0)) < thread.publishing) return;
  constexpr uint32_t kMostFrames = 128;
  uint64_t words[kMostFrames];
  const stack::Unwound unwound = stack::unwind(stack::caller_context(), words, kMostFrames);
  if (unwound.ending != stack::Ending::kOutermost || unwound.through_signal) return;
  thread.inside = false;
  thread.publishing = 0;
  thread.capturing = 0;
  thread.pending_new = wire::Api::kUnknown;
  thread.recorded_delete = nullptr;
  stack::abandon_refresh();
  if (thread.process_key != g_process.key || !thread.ring.attached()) return;
  thread.ring.forget_writers();
  g_process.stack_caches[thread.slot].clear();
  if (g_process.mixed_stacks != nullptr) g_process.mixed_stacks[thread.slot].clear();
}

// One event of this thread. Keeps what happens after a thread's destructors from holding a ring for
// ever: the outermost scope gives back the ring that it took.
class EventScope {
 public:
  enum class Within : uint8_t { kProgram, kEvent };  // kEvent: part of another event
  [[gnu::always_inline]] explicit EventScope(ThreadState& thread, Within within = Within::kProgram)
      : thread_(thread), borrowed_(thread.closed && !thread.ring.attached()) {
    if (__builtin_expect(thread.inside, 0) && within == Within::kProgram) {
      forget_what_was_left(thread);
    }
    outermost_ = !thread.inside;
    thread.inside = true;
    open_ = ensure_ring(thread);
  }
  [[gnu::always_inline]] ~EventScope() {
    if (__builtin_expect(borrowed_, 0)) release_ring(thread_);
    if (outermost_) thread_.inside = false;
  }
  EventScope(const EventScope&) = delete;
  EventScope& operator=(const EventScope&) = delete;
  explicit operator bool() const { return open_; }

 private:
  ThreadState& thread_;
  bool borrowed_;
  bool outermost_;
  bool open_;
};

template <class Record>
void write(ThreadState& thread, const Record& record) {
  static_assert(sizeof(Record) % 8 == 0);
  uint8_t* room = thread.ring.reserve(sizeof(Record), wait_for_room);
  if (room == nullptr) return;
  // The type goes in last, by commit().
  std::memcpy(room + sizeof(RecordType),
              reinterpret_cast<const uint8_t*>(&record) + sizeof(RecordType),
              sizeof(Record) - sizeof(RecordType));
  if (thread.ring.commit(room, record.header.type)) ring_doorbell();
}

// False: dropped, and counted.
template <class Record>
bool write_long(ThreadState& thread, Record record, const Part* parts, size_t part_count) {
  size_t bytes = sizeof(Record);
  for (size_t i = 0; i < part_count; ++i) bytes += parts[i].bytes;
  record.header.bytes = wire::padded(bytes);
  uint8_t* room = thread.ring.reserve(record.header.bytes, wait_for_room);
  if (room == nullptr) return false;
  std::memcpy(room + sizeof(RecordType),
              reinterpret_cast<const uint8_t*>(&record) + sizeof(RecordType),
              sizeof(Record) - sizeof(RecordType));
  uint8_t* at = room + sizeof(Record);
  for (size_t i = 0; i < part_count; ++i) {
    std::memcpy(at, parts[i].data, parts[i].bytes);
    at += parts[i].bytes;
  }
  std::memset(at, 0, static_cast<size_t>(room + record.header.bytes - at));
  if (thread.ring.commit(room, record.header.type)) ring_doorbell();
  return true;
}

Header header_of(RecordType type, uint32_t bytes, uint64_t time_ns, wire::Api api = {}) {
  return {type, static_cast<uint16_t>(api), bytes, time_ns};
}

// Ticks of ArenaHeader::clock. The counter is read without a fence (records.h: kMaxEarlyNs).
[[gnu::noinline]] uint64_t ticks_without_counter() {
  if (t_thread.stopped_ticks != 0) return ++t_thread.stopped_ticks;
  return g_process.arena->clock == wire::Clock::kTsc ? __builtin_ia32_rdtsc() : now_ns();
}
[[gnu::always_inline]] inline uint64_t ticks() {
  if (__builtin_expect(g_process.use_tsc, 1)) return __builtin_ia32_rdtsc();
  return ticks_without_counter();
}

bool write_path(ThreadState& thread, wire::StackId id, wire::StackId caller, uint32_t flags,
                const uint64_t* words, uint32_t count) {
  wire::Stack record{};
  record.header = header_of(RecordType::kStack, 0, now_ns());
  record.id = id;
  record.caller = caller;
  record.frame_count = count;
  record.flags = flags;
  const Part part{words, count * sizeof(uint64_t)};
  return write_long(thread, record, &part, 1);
}

// The frames that nobody has published yet, from the outermost of them inwards.
template <class Stack>
[[gnu::noinline]] bool publish_stack(ThreadState& thread, Stack& cache) {
  const uint32_t leaf = cache.count() - 1;
  if (g_process.seen.contains(cache.id(leaf))) {
    cache.set_published(leaf);
    return true;
  }
  // By the marks alone: a frame on the way is in the set only where it was a leaf once, which is
  // not worth a search (28 of 1.3 million while PyTorch is imported).
  uint32_t first = leaf;
  while (first > 0 && !cache.published(first - 1)) --first;
  uint32_t flags = first == 0 ? wire::kStackFromRoot : 0;
  if (!cache.complete()) {
    flags |= wire::kStackIncomplete;
    count_loss(cache.truncated() ? wire::Loss::kStacksTruncated : wire::Loss::kStacksIncomplete);
  }
  constexpr uint32_t kPiece = 64;
  uint64_t words[kPiece];
  while (first <= leaf) {
    const uint32_t count = leaf + 1 - first < kPiece ? leaf + 1 - first : kPiece;
    for (uint32_t i = 0; i < count; ++i) words[i] = cache.word(first + i);
    // What was dropped is tried again with the next event.
    if (!write_path(thread, cache.id(first + count - 1),
                    first == 0 ? cache.root() : cache.id(first - 1), flags, words, count)) {
      return false;
    }
    for (uint32_t i = 0; i < count; ++i) cache.set_published(first + i);
    first += count;
    flags &= ~wire::kStackFromRoot;
  }
  // After publishing: who finds it in the set may rely on its being in some ring. Only the leaf:
  // the nodes on the way are many more, and the marks remember those that matter, a loop's.
  g_process.seen.insert(cache.id(leaf));
  return true;
}

// In a signal handler that interrupted a capture: the cache is being written.
[[gnu::noinline]] wire::StackId capture_nested(ThreadState& thread, const stack::Context& caller) {
  constexpr uint32_t kNestedFrames = 64;
  uint64_t words[kNestedFrames];
  const stack::Unwound unwound = stack::unwind(caller, words, kNestedFrames);
  if (unwound.count == 0) return 0;
  for (uint32_t i = 0; i < unwound.count / 2; ++i) {  // outermost first
    const uint64_t word = words[i];
    words[i] = words[unwound.count - 1 - i];
    words[unwound.count - 1 - i] = word;
  }
  const bool complete = unwound.ending == stack::Ending::kOutermost;
  const wire::StackId root =
      wire::stack_root(g_process.unloads.load(std::memory_order_relaxed), complete);
  wire::StackId id = root;
  for (uint32_t i = 0; i < unwound.count; ++i) id = wire::stack_child(id, words[i]);
  if (g_process.seen.contains(id)) return id;
  if (!complete) count_loss(wire::Loss::kStacksIncomplete);
  if (!write_path(thread, id, root, wire::kStackFromRoot | (complete ? 0 : wire::kStackIncomplete),
                  words, unwound.count)) {
    return 0;
  }
  g_process.seen.insert(id);
  return id;
}

// The stack with its Python frames; 0 when it has none.
[[gnu::noinline]] wire::StackId capture_mixed(ThreadState& thread, stack::StackCache& native) {
  if (!g_process.take_python) return 0;
  stack::MixedStack& mixed = g_process.mixed_stacks[thread.slot];
  thread.publishing = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
  const bool has_python = mixed.update(native);
  thread.publishing = 0;
  if (!has_python) return 0;
  native.leave_unnamed();
  const uint32_t leaf = mixed.count() - 1;
  if (!mixed.published(leaf) && !publish_stack(thread, mixed)) return 0;
  return mixed.id(leaf);
}

[[gnu::always_inline]] inline wire::StackId capture_on(ThreadState& thread,
                                                       const stack::Context& caller) {
  if (!g_process.take_stacks) return 0;
  if (__builtin_expect(thread.capturing != 0, 0)) return capture_nested(thread, caller);
  thread.capturing = 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  stack::StackCache& cache = g_process.stack_caches[thread.slot];
  cache.update(caller, g_process.unloads.load(std::memory_order_relaxed));
  wire::StackId id = 0;
  if (__builtin_expect(stack::python::wanted(), 0)) id = capture_mixed(thread, cache);
  if (__builtin_expect(id == 0 && cache.count() != 0, 1)) {
    cache.name_frames();
    const uint32_t leaf = cache.count() - 1;
    id = cache.id(leaf);
    if (!cache.published(leaf) && !publish_stack(thread, cache)) id = 0;
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread.capturing = 0;
  return id;
}

void publish_module(const stack::Module& module, bool loaded) {
  EventScope scope(t_thread, EventScope::Within::kEvent);
  if (!scope) return;
  wire::Module record{};
  record.header = header_of(loaded ? RecordType::kModule : RecordType::kModuleUnload, 0, now_ns());
  record.base = module.bias;
  record.start = module.start;
  record.end = module.end;
  record.path_bytes = loaded ? module.path_bytes : 0;
  record.build_id_bytes = loaded ? module.build_id_bytes : 0;
  const Part parts[] = {{module.path, record.path_bytes}, {module.build_id, record.build_id_bytes}};
  write_long(t_thread, record, parts, 2);
}

// Once it can be found by its addresses.
void examine_module(const stack::Module& module, bool loaded) {
  if (g_process.mixed_stacks != nullptr) stack::python::on_module(module, loaded);
}
constexpr stack::ModuleObserver kObserver{publish_module, examine_module};

}  // namespace

wire::StackId capture(const stack::Context& caller) {
  EventScope scope(t_thread);
  return scope ? capture_on(t_thread, caller) : 0;
}

void record_heap_alloc(wire::Api api, const void* address, size_t size,
                       const stack::Context& caller) {
  const uint64_t time = ticks();
  ThreadState& thread = t_thread;
  EventScope scope(thread);
  if (!scope) return;
  const wire::StackId stack = capture_on(thread, caller);
  uint8_t* room = thread.ring.reserve(sizeof(wire::HeapAlloc), wait_for_room);
  if (room == nullptr) return;
  auto* record = reinterpret_cast<wire::HeapAlloc*>(room);
  record->header.detail = static_cast<uint16_t>(api);
  record->header.time_ns = time;
  record->address = reinterpret_cast<uint64_t>(address);
  record->size = size;
  record->stack = stack;
  if (thread.ring.commit(room, RecordType::kHeapAlloc)) ring_doorbell();
}

void record_heap_free(wire::Api api, const void* address, const stack::Context& caller) {
  const uint64_t time = ticks();
  ThreadState& thread = t_thread;
  EventScope scope(thread);
  if (!scope) return;
  const wire::StackId stack = g_process.take_free_stacks ? capture_on(thread, caller) : 0;
  uint8_t* room = thread.ring.reserve(sizeof(wire::HeapFree), wait_for_room);
  if (room == nullptr) return;
  auto* record = reinterpret_cast<wire::HeapFree*>(room);
  record->header.detail = static_cast<uint16_t>(api);
  record->header.time_ns = time;
  record->address = reinterpret_cast<uint64_t>(address);
  record->stack = stack;
  if (thread.ring.commit(room, RecordType::kHeapFree)) ring_doorbell();
}

void record_map(wire::Api api, const void* address, size_t size, const stack::Context& caller) {
  const uint64_t time_ns = now_ns();
  ThreadState& thread = t_thread;
  EventScope scope(thread);
  if (!scope) return;
  wire::Alloc record{};
  record.header = header_of(RecordType::kAlloc, sizeof record, time_ns, api);
  record.address = reinterpret_cast<uint64_t>(address);
  record.size = size;
  record.stack = capture_on(thread, caller);
  record.layer = wire::Layer::kOs;
  record.space = wire::Space::kHost;
  write(thread, record);
}

void record_pool_free(wire::Api api, const void* address, const stack::Context& caller) {
  const uint64_t time_ns = now_ns();
  ThreadState& thread = t_thread;
  EventScope scope(thread);
  if (!scope) return;
  wire::Free record{};
  record.header = header_of(RecordType::kFree, sizeof record, time_ns, api);
  record.address = reinterpret_cast<uint64_t>(address);
  record.stack = capture_on(thread, caller);
  record.layer = wire::Layer::kPool;
  write(thread, record);
}

void record_unmap(wire::Api api, const void* address, size_t size, const stack::Context& caller) {
  const uint64_t time_ns = now_ns();
  ThreadState& thread = t_thread;
  EventScope scope(thread);
  if (!scope) return;
  wire::Unmap record{};
  record.header = header_of(RecordType::kUnmap, sizeof record, time_ns, api);
  record.address = reinterpret_cast<uint64_t>(address);
  record.size = size;
  record.stack = capture_on(thread, caller);
  write(thread, record);
}

void record_undo() {
  struct Undo {
    Header header;
  } record{header_of(RecordType::kUndo, sizeof(Header), now_ns())};
  EventScope scope(t_thread);
  if (scope) write(t_thread, record);
}

void publish(const void* record) {
  Header header;
  std::memcpy(&header, record, sizeof header);
  if (header.bytes < sizeof header || header.bytes > wire::kMaxRecordBytes ||
      header.bytes % 8 != 0) {
    return;
  }
  ThreadState& thread = t_thread;
  EventScope scope(thread);
  if (!scope) return;
  uint8_t* room = thread.ring.reserve(header.bytes, wait_for_room);
  if (room == nullptr) return;
  std::memcpy(room + sizeof(RecordType), static_cast<const uint8_t*>(record) + sizeof(RecordType),
              header.bytes - sizeof(RecordType));
  if (thread.ring.commit(room, header.type)) ring_doorbell();
}

bool publish_long(const wire::PythonCode& record, const Part* parts, size_t part_count) {
  EventScope scope(t_thread);
  return scope && write_long(t_thread, record, parts, part_count);
}

wire::NameId intern(const char* text) {
  const size_t bytes = strnlen(text, wire::kMaxRecordBytes - sizeof(wire::Name) - 8);
  uint64_t id = 0x7469646d61726b00ULL ^ bytes;
  for (size_t i = 0; i < bytes; i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text + i, bytes - i < 8 ? bytes - i : 8);
    id = wire::mix_ids(id, word);
  }
  if (id == 0) id = 1;
  if (g_process.seen.contains(id)) return id;
  EventScope scope(t_thread);
  if (!scope) return 0;
  wire::Name record{};
  record.header = header_of(RecordType::kName, 0, 0);
  record.id = id;
  record.text_bytes = static_cast<uint32_t>(bytes);
  const Part part{text, bytes};
  write_long(t_thread, record, &part, 1);
  g_process.seen.insert(id);
  return id;
}

void publish_meta(const char* key, const char* value) {
  constexpr size_t kMost = 4096;
  EventScope scope(t_thread);
  if (!scope) return;
  wire::Meta record{};
  record.header = header_of(RecordType::kMeta, 0, now_ns());
  record.key_bytes = static_cast<uint32_t>(strnlen(key, kMost));
  record.value_bytes = static_cast<uint32_t>(strnlen(value, kMost));
  const Part parts[] = {{key, record.key_bytes}, {value, record.value_bytes}};
  write_long(t_thread, record, parts, 2);
}

void publish_thread_name(const char* name, int32_t tid) {
  EventScope scope(t_thread);
  if (!scope) return;
  wire::Text record{};
  record.header = header_of(RecordType::kThreadName, 0, now_ns());
  record.text_bytes = static_cast<uint32_t>(strnlen(name, 64));
  record.tid = tid;
  const Part part{name, record.text_bytes};
  write_long(t_thread, record, &part, 1);
}

void publish_process_start() {
  EventScope scope(t_thread);
  if (!scope) return;
  static char command[4096];  // only the starting thread is here
  size_t bytes = 0;
  const long fd = sys::open_read_only("/proc/self/cmdline");
  if (fd >= 0) {
    const long got = sys::read(static_cast<int>(fd), command, sizeof command);
    sys::close(static_cast<int>(fd));
    bytes = got > 0 ? static_cast<size_t>(got) : 0;
  }
  while (bytes > 0 && command[bytes - 1] == 0) --bytes;
  for (size_t i = 0; i < bytes; ++i) {
    if (command[i] == 0) command[i] = ' ';
  }
  wire::ProcessStart record{};
  record.header = header_of(RecordType::kProcessStart, 0, now_ns());
  record.process_key = g_process.key;
  record.parent_process_key = g_process.forked ? g_process.parent_key : 0;
  const Ids ids = visible_ids();
  record.pid = ids.pid;
  record.parent_pid = ids.parent_pid;
  record.command_bytes = static_cast<uint32_t>(bytes);
  record.forked = g_process.forked ? 1 : 0;
  record.attached = g_process.attached ? 1 : 0;
  const Part part{command, bytes};
  write_long(t_thread, record, &part, 1);
  if (g_process.forked) {
    stack::announce_modules();
  } else if (g_process.attached) {
    // Some may be known already, from an earlier recording.
    stack::observe_modules(nullptr);
    stack::refresh_modules();
    stack::observe_modules(&kObserver);
    stack::announce_modules();
  } else {
    stack::observe_modules(&kObserver);
    stack::refresh_modules();
  }
}

// What another thread, or prctl, has called this one since it got its ring.
namespace {
void publish_last_name(const ThreadState& thread) {
  if (!thread.ring.attached() || thread.process_key != g_process.key) return;
  char name[16];  // the kernel ends it with a zero
  sys::thread_name(name);
  if (std::memcmp(name, thread.ring.ring()->thread_name, sizeof name) != 0) {
    publish_thread_name(name);
  }
}
}  // namespace

void publish_process_exit() {
  publish_last_name(t_thread);
  wire::ProcessExit record{header_of(RecordType::kProcessExit, sizeof record, now_ns())};
  EventScope scope(t_thread);
  if (scope) write(t_thread, record);
}

void close_thread() {
  ThreadState& thread = t_thread;
  // Destructors of other keys may still free memory: ours comes last by asking for every round.
  if (++thread.exit_rounds < PTHREAD_DESTRUCTOR_ITERATIONS) {
    Pause pause;
    watch_thread_exit(thread.exit_rounds + 1U);
    return;
  }
  publish_last_name(thread);
  thread.closed = true;
  release_ring(thread);
}

}  // namespace tidemark::preload
