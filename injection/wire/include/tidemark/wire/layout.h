// The shared memory between a recorded process and the collector: one memory file (the arena) that
// the collector creates, seals against resizing, and serves to its targets as /proc/<pid>/fd/<n>.
//
// Guarantees
//  1. What a thread has published stays readable after it is killed: the memory is the collector's.
//  2. Only processes of the same user can open it (the kernel checks /proc/<pid>/fd).
//  3. It does not use /dev/shm, and it cannot shrink (F_SEAL_SHRINK), so neither side can get
//  SIGBUS.
//  4. It needs no inherited descriptor: a child that closes every descriptor opens it by path.
// Assumption the collector must not make: that anything in here is sane. A target may scribble.
//
// Layout:  [ArenaHeader, one page][RingSlot 0][RingSlot 1]…   each RingSlot: [RingHeader, one
// page][data] FORMAT.md beside this folder describes the bytes. All integers are little endian.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tidemark::wire {

inline constexpr uint64_t kArenaMagic = 0x314b524d45444954;  // "TIDEMRK1"
inline constexpr uint32_t kWireVersion = 5;
inline constexpr size_t kPageBytes = 4096;
// Sparse: a slot costs memory only once a thread has written to it, and gives it back when freed.
inline constexpr uint32_t kRingCount = 4096;
inline constexpr uint64_t kRingDataBytes = uint64_t{512} * 1024;
inline constexpr uint64_t kRingSlotBytes = kPageBytes + kRingDataBytes;
inline constexpr uint64_t kArenaBytes = kPageBytes + kRingCount * kRingSlotBytes;

// "TIDEMARK_ARENA=<path>:<nonce in hex>" tells a target where its arena is.
inline constexpr const char* kArenaVariable = "TIDEMARK_ARENA";

// Names the library that takes the ranges of NVTX: libtidemark_preload.so.
inline constexpr const char* kNvtxVariable = "NVTX_INJECTION64_PATH";

// What to do when a ring is full. Persisted in the arena: do not renumber.
enum class OnFull : uint32_t { kWait = 0, kDrop = 1 };
// Which stacks to take. Persisted in the arena: do not renumber.
enum class Stacks : uint32_t { kNone = 0, kNative = 1, kAll = 2 };

// What to take of the host. kAllocStacks: stacks of allocations, and none of the heap's frees,
// which are half of all. Persisted in the arena: do not renumber.
enum class Host : uint32_t { kOff = 0, kAll = 1, kAllocStacks = 2 };
// What to take of the device. kMemory: its allocations alone, neither kernels, copies and sets nor
// what they use; nothing of ours is called at a launch. Persisted in the arena: do not
// renumber.
enum class Device : uint32_t { kOff = 0, kAll = 1, kMemory = 2 };

// What stamps heap events. The time stamp counter where the kernel itself keeps time by it (it runs
// at one rate, alike on all processors). Persisted in the arena: do not renumber.
enum class Clock : uint32_t { kMonotonicNs = 0, kTsc = 1 };
// How early a stamp of the counter may be: it is read while earlier instructions still execute.
inline constexpr uint64_t kMaxEarlyNs = 20'000;

// Losses that injected code counts; the collector adds its own (trace/loss names are strings).
// Persisted in the arena: do not renumber.
enum class Loss : uint32_t {
  kEventsDroppedRingFull = 0,  // on-full=drop, or the collector vanished
  kEventsDroppedNoRing = 1,    // all slots taken
  kStacksTruncated = 2,        // more than max_frames frames: the outermost are missing
  kStacksIncomplete = 3,       // no unwind information at some frame: the outer frames are missing
  kStackTableFull = 4,         // no longer counted: a full table forgets old stacks instead
  kCuptiRecordsDropped = 5,    // CUPTI said so
  kCuptiUnknownRecords = 6,    // a record kind or layout that this build does not know
  kCuptiUnavailable = 7,       // no CUPTI library, or one that refuses
  kCuptiSubscriberTaken = 8,   // another tool holds the subscription
  kCudaAfterFork = 9,          // CUDA used in a child forked after cuInit
  kEventsDroppedReentrant = 10,  // a signal handler interrupted a hook halfway
  kTornRecords = 11,             // the process died between two stores
  kPythonUnsupported = 12,       // an interpreter whose frames cannot be read: native frames only
  kProcessesNotRecorded = 13,    // programs that could not load or open what is ours
  kAllocatorsNotHooked = 14,     // code with a malloc that we do not stand before
  kKernelArgumentsUnknown = 15,  // launches of which it is not known what they were handed
  kAccessUnavailable = 16,       // the driver does not tell how long parameters are
  // What the device did of calls outside of the window (--window).
  kKernelsOutsideWindow = 17,
  kCopiesOutsideWindow = 18,
  kSetsOutsideWindow = 19,
  kCuptiKeptFromProgram = 20,   // the program asked for CUPTI's one subscription, which we hold
  kMigrationsUnavailable = 21,  // managed memory is used, and CUPTI does not tell of its pages
  kCount = 22
};
inline constexpr size_t kLossSlots = 32;

struct ArenaHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t header_bytes;
  uint64_t nonce;  // must equal the one in the environment: a recycled path is not ours
  uint32_t ring_count;
  uint32_t ring_data_bytes;
  // 0: the recording is over. The kernel makes it kCollectorDied when the collector dies, however
  // it dies and whoever can see its pid (it is a robust futex). Ask collector_is_gone().
  int32_t collector_pid;
  Clock clock;
  // Options, constant once the target runs.
  Stacks stacks;
  OnFull on_full;
  Host record_host;        // kOff: no heap and os events
  Device record_device;    // kOff: do not touch CUPTI
  uint32_t pid_namespace;  // the collector's: inode of /proc/self/ns/pid
  uint32_t record_access;  // 0: do not look at the arguments of kernels
  // Written by the collector at any time: what the device is asked to do is told of only from
  // window_begin_ns on, and until window_end_ns (--window), of which 0 means: always.
  alignas(64) std::atomic<uint64_t> window_begin_ns;
  std::atomic<uint64_t> window_end_ns;
  // Written by targets.
  alignas(64) std::atomic<uint32_t> doorbell;  // futex; ++ and wake when a ring is half full
  std::atomic<uint32_t> next_ring;             // where to look for a free slot first
  alignas(64) std::atomic<uint64_t> losses[kLossSlots];
};
static_assert(sizeof(ArenaHeader) == 448 && sizeof(ArenaHeader) <= kPageBytes);
static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(std::atomic<uint64_t>) == 8);

inline constexpr int32_t kCollectorDied = 0x40000000;  // FUTEX_OWNER_DIED
constexpr bool collector_is_gone(int32_t collector_pid) {
  return (collector_pid & 0x3fffffff) == 0;  // FUTEX_TID_MASK
}

// Life of a slot:  kFree → kClaimed (a thread won the compare-exchange, fills the header)
//   → kLive (events flow) → kClosed (its thread has ended) → kFree (by the collector, once drained;
// it also frees the slots of processes and threads that died without closing).
enum class RingState : uint32_t { kFree = 0, kClaimed = 1, kLive = 2, kClosed = 3 };

struct RingHeader {
  std::atomic<RingState> state;
  int32_t pid;  // as the collector sees it, where that can be found out
  int32_t tid;
  uint32_t foreign_ids;  // 1: pid and tid are of a pid namespace that is not the collector's
  uint64_t process_key;  // names one image of one process; see ProcessStart
  char thread_name[16];  // at claim; later changes come as ThreadName records
  // Producer's: bytes published since the claim. Monotonic; position in the data = head % size.
  alignas(64) std::atomic<uint64_t> head;
  // Consumer's: bytes taken since the claim. The producer futex-waits on `released` when full.
  alignas(64) std::atomic<uint64_t> tail;
  std::atomic<uint32_t> released;  // ++ with every move of tail
  std::atomic<uint32_t> waiting;   // 1 while the producer sleeps
};
static_assert(sizeof(RingHeader) == 192);
static_assert(offsetof(RingHeader, head) == 64 && offsetof(RingHeader, tail) == 128);

constexpr uint64_t ring_offset(uint32_t index) { return kPageBytes + index * kRingSlotBytes; }

}  // namespace tidemark::wire
