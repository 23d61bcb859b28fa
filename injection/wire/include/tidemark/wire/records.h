// The records that travel through a ring, oldest first. Every record begins with a Header, is a
// multiple of 8 bytes long, and never wraps: a Pad record fills the end of the ring's data.
//
// Times are CLOCK_MONOTONIC nanoseconds. An allocation is stamped after the real call returned and
// published before the program sees the address; a free is stamped and published before the real
// call. So for one address, publishing order is causal order, across threads and without a lock.
// A reader that takes `now`, then drains every ring, and holds back what is stamped later than
// `now`, sees for each address first the allocation and then its free (collector/merge).
#pragma once

#include <cstdint>

namespace tidemark::wire {

// Persisted: do not renumber.
enum class RecordType : uint16_t {
  kPad = 0,
  kProcessStart = 1,  // ProcessStart
  kProcessExit = 2,   // ProcessExit: exit() was reached; a crash has none
  kThreadName = 3,    // Text
  kModule = 4,        // Module
  kModuleUnload = 5,  // Module, path and build id empty
  kStack = 6,         // Stack
  kName = 7,          // Name
  kAlloc = 8,         // Alloc: os
  kFree = 9,          // Free: driver and pool
  kUnmap = 10,        // Unmap: any range of the os layer, also a part of a mapping
  kUndo = 11,         // Header only: a Free or Unmap of this ring did not happen (the call failed):
                      // detail 0: the last one, nothing but Stack records stands between;
                      // otherwise: the last one not yet undone with that Api in its detail (the
                      // driver frees host memory in between)
  kDeviceAlloc = 12,  // DeviceAlloc: driver and pool
  kLaunch = 13,       // Launch: where a copy, set or kernel was asked for
  kTransfer = 14,     // Transfer
  kMemset = 15,       // Memset
  kKernel = 16,       // Kernel
  kMarker = 17,       // Marker: a mark, or the beginning of a range
  kMeta = 18,         // Meta: a fact about the process or machine
  kOutOfMemory = 19,  // OutOfMemory
  kHeapAlloc = 20,    // HeapAlloc
  kHeapFree = 21,     // HeapFree
  kPythonCode = 22,   // PythonCode
  kTouch = 23,        // Touch
  kMarkerEnd = 24,    // MarkerEnd
  kGraphNode = 25,    // GraphNode
  kDeviceMap = 26,    // DeviceMap: after cuMemMap
  kDeviceUnmap = 27,  // DeviceMap, of any range that was mapped: after cuMemUnmap
  kDriverPool = 28,   // DriverPool
  kMigration = 29,    // Migration
  kImport = 30,       // Import
  kImportEnd = 31,    // ImportEnd
};

enum class Layer : uint8_t { kOs = 0, kHeap = 1, kDriver = 2, kPool = 3 };
enum class Space : uint8_t { kHost = 0, kPinned = 1, kManaged = 2, kDevice = 3 };

// Who was called. Persisted: append only. api_name() in api.h gives the trace's text.
enum class Api : uint16_t {
  kUnknown = 0,
  kMalloc,
  kCalloc,
  kRealloc,
  kReallocarray,
  kFree,
  kPosixMemalign,
  kAlignedAlloc,
  kMemalign,
  kValloc,
  kPvalloc,
  kNew,
  kNewArray,
  kNewAligned,
  kNewArrayAligned,
  kDelete,
  kDeleteArray,
  kMmap,
  kMunmap,
  kMremap,
  kC10,  // PyTorch's caching allocator
  kCudaMalloc,
  kCudaMallocPitch,
  kCudaMalloc3D,
  kCudaMallocArray,
  kCudaMallocAsync,
  kCudaMallocFromPoolAsync,
  kCudaMallocHost,
  kCudaHostAlloc,
  kCudaHostRegister,
  kCudaMallocManaged,
  kCudaFree,
  kCudaFreeAsync,
  kCudaFreeHost,
  kCudaHostUnregister,
  kCudaFreeArray,
  kCuMemAlloc,
  kCuMemAllocPitch,
  kCuMemAllocAsync,
  kCuMemAllocFromPoolAsync,
  kCuMemAllocHost,
  kCuMemHostAlloc,
  kCuMemHostRegister,
  kCuMemAllocManaged,
  kCuArrayCreate,
  kCuMemFree,
  kCuMemFreeAsync,
  kCuMemFreeHost,
  kCuMemHostUnregister,
  kCuArrayDestroy,
  kCuMemCreate,
  kCuMemRelease,
  kCuMemMap,
  kCuMemUnmap,
  kCudaModule,  // code and globals that the driver placed
  kCudaIpcOpenMemHandle,
  kCudaIpcCloseMemHandle,
  kCuIpcOpenMemHandle,
  kCuIpcCloseMemHandle,
  kCuMemImportFromShareableHandle,
  kCount
};

struct Header {
  RecordType type;
  uint16_t detail;  // the Api of Alloc, Free, Unmap, DeviceAlloc; otherwise as the record says
  uint32_t bytes;   // whole record, header included; a multiple of 8
  uint64_t time_ns;
};
static_assert(sizeof(Header) == 16);

// 0 means: no stack was taken. Otherwise a hash (stack_id.h): the same stack in the same process
// has the same id, and it is published at least once, as the end of a Stack record or on its way.
using StackId = uint64_t;
// 0 means: none. Otherwise the hash of the text; its Name record is published at least once.
using NameId = uint64_t;

struct Alloc {
  Header header;
  uint64_t address;
  uint64_t size;  // as requested, bytes
  StackId stack;
  Layer layer;
  Space space;
  uint16_t reserved_[3];
};
static_assert(sizeof(Alloc) == 48);

// Heap events are the many: small records, stamped with the cheapest clock there is.
// header.time_ns holds ticks of ArenaHeader::clock, which the collector turns into nanoseconds.
// With Clock::kTsc a stamp may be early by what a processor executes out of order (kMaxEarlyNs), so
// that two events of two threads at one address can seem reversed: collector/pairing sees that and
// swaps.
struct HeapAlloc {
  Header header;
  uint64_t address;
  uint64_t size;  // as requested, bytes
  StackId stack;
};
static_assert(sizeof(HeapAlloc) == 40);

struct HeapFree {
  Header header;
  uint64_t address;
  StackId stack;
};
static_assert(sizeof(HeapFree) == 32);

struct Free {
  Header header;
  uint64_t address;
  StackId stack;
  Layer layer;
  uint8_t reserved_[7];
};
static_assert(sizeof(Free) == 40);

struct Unmap {
  Header header;
  uint64_t address;
  uint64_t size;
  StackId stack;
};
static_assert(sizeof(Unmap) == 40);

struct DeviceAlloc {
  Header header;
  uint64_t address;
  uint64_t size;
  StackId stack;
  NameId source;           // library that asked, 0 unknown
  uint64_t pool_reserved;  // pool layer: what the pool holds from the driver after this, bytes
  uint64_t stream;         // handle or id; 0 default or unknown
  Layer layer;
  Space space;
  int16_t device;        // ordinal as the process sees it; -1 unknown or host
  uint32_t correlation;  // CUPTI correlation id, 0 none
};
static_assert(sizeof(DeviceAlloc) == 72);

struct OutOfMemory {
  Header header;
  uint64_t requested;  // bytes
  uint64_t allocated;  // by the pool, bytes; 0 when unknown
  uint64_t reserved;   // by the pool, bytes; 0 when unknown
  StackId stack;
  Layer layer;
  uint8_t pad_;
  int16_t device;
  uint32_t reserved_;
};
static_assert(sizeof(OutOfMemory) == 56);

// The calling thread's part of a copy, set or kernel; joined by (process, correlation).
struct Launch {
  Header header;
  uint64_t src_address;  // copies; 0 otherwise
  uint64_t dst_address;  // copies and sets
  StackId stack;
  uint32_t correlation;
  uint32_t reserved_;
};
static_assert(sizeof(Launch) == 48);

// Words among the arguments of a kernel that may be pointers into device, pinned or managed memory:
// they lie in a page that holds, or has held, such memory. Follows the Launch with the same
// correlation in the same ring, before the call is made; several of them add up. A kernel without
// such words has none.
struct Touch {
  Header header;
  uint32_t correlation;
  uint32_t word_count;  // words, 8 bytes each, follow; at least 1
};
static_assert(sizeof(Touch) == 24);

// A node of a CUDA graph that launches a kernel, or a copy of one. The kernels of a graph are
// handed what their nodes were made with: Kernel.graph_node names the node.
struct GraphNode {
  Header header;
  uint64_t node;
  uint64_t source;       // copied from that node; 0: made by the call `correlation`
  uint32_t correlation;  // of a Launch with its Touch, in a stream capture or where a node is added
  uint32_t reserved_;
};
static_assert(sizeof(GraphNode) == 40);

// Addresses at which physical memory lies.
struct DeviceMap {
  Header header;
  uint64_t address;
  uint64_t size;
  uint64_t allocation;  // address of its DeviceAlloc (cuMemCreate); unmap: 0
};
static_assert(sizeof(DeviceMap) == 40);

// What a memory pool of the driver (cudaMallocAsync's default one, or cudaMemPoolCreate's) held
// from the device and had handed out, after an allocation or a free in it.
struct DriverPool {
  Header header;
  uint64_t pool;  // address of the driver's object
  uint64_t held;  // bytes
  uint64_t used;  // bytes
  int16_t device;
  uint16_t reserved_[3];
};
static_assert(sizeof(DriverPool) == 48);

// What the driver did to pages of managed memory. header.time_ns: when it began.
enum class MigrationKind : uint8_t {
  kHtoD = 0,  // pages were copied; so are the next two
  kDtoH = 1,
  kDtoD = 2,
  kCpuFault = 3,    // a processor wanted a page that was not there
  kGpuFault = 4,    // a device did; its accesses waited from time_ns to end_ns
  kThrashing = 5,   // pages were wanted by several by turns
  kThrottling = 6,  // a processor was kept from them for a while, because of that
  kRemoteMap = 7,   // instead of being copied they were mapped where they lay
};
struct Migration {
  Header header;
  uint64_t end_ns;  // header.time_ns where CUPTI tells none
  uint64_t address;
  uint64_t bytes;      // 0: not told
  uint32_t faults;     // kGpuFault: groups of faults on the page; kCpuFault: 1
  int16_t src_device;  // −1: the host, or not told
  int16_t dst_device;
  MigrationKind kind;
  uint8_t reserved_[7];
};
static_assert(sizeof(Migration) == 56);

// Another process's device memory, opened here through an IPC handle, or mapped as an imported one.
// It is not this process's allocation: nothing is allocated by opening it, or freed by closing.
struct Import {
  Header header;
  uint64_t address;
  uint64_t size;  // bytes from `address` on; 0: the driver did not tell
  StackId stack;
  int16_t device;
  uint16_t reserved_[3];
};
static_assert(sizeof(Import) == 48);

struct ImportEnd {
  Header header;
  uint64_t address;
};
static_assert(sizeof(ImportEnd) == 24);

// header.time_ns of Transfer, Memset, Kernel is the start on the device, on the host's clock.
enum class TransferKind : uint8_t { kHtoD = 0, kDtoH = 1, kDtoD = 2, kPtoP = 3, kHtoH = 4 };
struct Transfer {
  Header header;
  uint64_t end_ns;
  uint64_t bytes;
  uint32_t correlation;
  uint32_t stream;
  int16_t device;       // that ran it
  int16_t peer_device;  // PtoP: the destination; otherwise -1
  TransferKind kind;
  Space src_space;
  Space dst_space;
  uint8_t asynchronous;
};
static_assert(sizeof(Transfer) == 48);

struct Memset {
  Header header;
  uint64_t end_ns;
  uint64_t bytes;
  uint32_t correlation;
  uint32_t stream;
  int16_t device;
  uint16_t reserved_[3];
};
static_assert(sizeof(Memset) == 48);

struct Kernel {
  Header header;
  uint64_t end_ns;
  NameId name;  // mangled
  uint32_t correlation;
  uint32_t stream;
  uint32_t graph;  // CUDA graph id, 0 none
  int16_t device;
  uint16_t reserved_;
  uint64_t graph_node;  // that it ran for, 0 none
};
static_assert(sizeof(Kernel) == 56);

// What a program calls its own phases (NVTX). Beginning and end are told apart, so that a range
// which never ends is in the trace. header.time_ns: when; header.detail: a MarkerKind.
enum class MarkerKind : uint16_t {
  kMark = 0,     // a moment
  kPushed = 1,   // ends with the innermost open one of the same thread and domain
  kStarted = 2,  // ends by its number, on whichever thread
};
struct Marker {
  Header header;
  uint64_t range;  // kStarted: a number of its own within the process; otherwise 0
  NameId name;
  NameId domain;  // 0: the default one
};
static_assert(sizeof(Marker) == 40);

struct MarkerEnd {
  Header header;
  uint64_t range;
  NameId domain;  // kPushed; otherwise 0
};
static_assert(sizeof(MarkerEnd) == 32);

// The rest carry text or arrays behind the fixed part. Text is UTF-8 as the system gave it, not
// terminated, padded with zero bytes to a multiple of 8.

struct ProcessStart {  // first record of a process image: after main's start, fork or exec
  Header header;
  uint64_t process_key;         // unique in the recording
  uint64_t parent_process_key;  // fork: the forking image. exec: the image before. 0: unknown
  int32_t pid;
  int32_t parent_pid;
  uint32_t command_bytes;  // arguments separated by spaces, follows
  uint16_t forked;         // 1: memory was inherited; what lived in the parent lives here too
  uint16_t attached;       // 1: it, or what it was forked from, ran before it was recorded
};
static_assert(sizeof(ProcessStart) == 48);

struct ProcessExit {
  Header header;
};

struct Text {  // ThreadName
  Header header;
  uint32_t text_bytes;
  int32_t tid;  // of the thread that is named; 0: the one that publishes
};
static_assert(sizeof(Text) == 24);

struct Module {  // header.time_ns: when seen; unload: when gone
  Header header;
  uint64_t base;        // load bias: address in memory − address in the file's program headers
  uint64_t start;       // first mapped byte
  uint64_t end;         // one past the last mapped byte
  uint32_t path_bytes;  // follows
  uint32_t build_id_bytes;  // raw bytes, follow the path (before the padding)
};
static_assert(sizeof(Module) == 48);

// A path of the tree of stacks (stack_id.h), from a node that has been published before, or from a
// root, down to the node `id`. Every node on it may be named by events and by later paths. The node
// `caller` may be published by another thread, in another ring, that is drained later.
struct Stack {  // header.time_ns: when it was first taken; 0 unknown
  Header header;
  StackId id;
  StackId caller;        // the node that the path begins under
  uint32_t frame_count;  // words, outermost first, 8 bytes each, follow; at least 1
  uint32_t flags;
};
static_assert(sizeof(Stack) == 40);
inline constexpr uint32_t kStackFromRoot = 1;    // `caller` is a stack_root(), which has no record
inline constexpr uint32_t kStackIncomplete = 2;  // frames are missing, at the outer end or between

// A Python frame stands in a Stack as one word beside return addresses:
//   bit 63 set | 39 bits key of the code object | 24 bits instruction (in code units of two bytes)
// Key 0: a code object that could not be read. Instruction 2^24 − 1: unknown.
inline constexpr uint64_t kPythonWordBit = uint64_t{1} << 63;
inline constexpr unsigned kPythonInstructionBits = 24;
inline constexpr unsigned kPythonKeyBits = 39;
inline constexpr uint32_t kPythonUnknownInstruction = (1U << kPythonInstructionBits) - 1;
constexpr bool is_python_word(uint64_t word) { return (word & kPythonWordBit) != 0; }
constexpr uint64_t python_key(uint64_t word) {
  return (word & ~kPythonWordBit) >> kPythonInstructionBits;
}
constexpr uint32_t python_instruction(uint64_t word) {
  return static_cast<uint32_t>(word & kPythonUnknownInstruction);
}

// What a key of Python words means. The key is a hash of the rest: the same in all processes, so
// any process may have published it.
struct PythonCode {
  Header header;
  uint64_t key;
  uint32_t first_line;
  uint32_t line_format;     // minor version of the Python 3 that wrote the line table
  uint32_t file_bytes;      // follows
  uint32_t function_bytes;  // follows the file: qualified name, before 3.11 the plain name
  uint32_t lines_bytes;     // follows: co_lnotab (3.8, 3.9) or co_linetable, its beginning if long
  uint32_t reserved_;
};
static_assert(sizeof(PythonCode) == 48);

struct Name {
  Header header;
  NameId id;
  uint32_t text_bytes;  // follows
  uint32_t reserved_;
};
static_assert(sizeof(Name) == 32);

struct Meta {
  Header header;
  uint32_t key_bytes;    // follows
  uint32_t value_bytes;  // follows the key
};
static_assert(sizeof(Meta) == 24);

inline constexpr uint32_t kMaxRecordBytes = 64 * 1024;

constexpr uint32_t padded(uint64_t bytes) {
  return static_cast<uint32_t>((bytes + 7) & ~uint64_t{7});
}

}  // namespace tidemark::wire
