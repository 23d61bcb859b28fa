// The rows of a trace as C++ values. Times: nanoseconds since the recording began. Sizes: bytes.
// Plain values: copy and share freely.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace tidemark::trace {

// Identifiers start at 1; 0 is "none" (NULL in the file).
enum class AllocationId : int64_t {};
enum class StackId : int64_t {};
enum class StringId : int64_t {};
enum class ProcessId : int32_t {};
enum class ThreadId : int32_t {};
enum class MarkerId : int64_t {};
enum class WindowId : int64_t {};
enum class ImportId : int64_t {};
enum class FrameId : int64_t {};      // function, file, line, module
enum class AddressId : int64_t {};    // of code in one process, at one time
enum class StackNodeId : int64_t {};  // an address beneath its callers

// Persisted in chunks and tables as these numbers: do not renumber.
enum class Layer : uint8_t { kOs = 0, kHeap = 1, kDriver = 2, kPool = 3 };
enum class Space : uint8_t { kHost = 0, kPinned = 1, kManaged = 2, kDevice = 3 };
enum class TransferKind : uint8_t { kHtoD = 0, kDtoH = 1, kDtoD = 2, kPtoP = 3, kHtoH = 4 };
enum class FrameKind : uint8_t { kNative = 0, kPython = 1 };
enum class Severity : uint8_t { kInfo = 0, kDataLoss = 1, kError = 2 };
// What a part of an address space is, as far as /proc tells.
enum class MappingKind : uint8_t {
  kFile = 0,       // a file, private or shared
  kHeap = 1,       // the brk heap: malloc's main arena
  kArena = 2,      // an arena that malloc made for a thread
  kStack = 3,      // the main thread's, or one with a guard below it
  kAnonymous = 4,  // by mmap, of whomever: allocators' large blocks, the program's own mappings
  kStatic = 5,     // zeroed data of a program or library (.bss)
  kShared = 6,     // /dev/shm, memfd, System V
  kDevice = 7,     // of a driver
  kKernel = 8,     // vdso and kin
  kTidemark = 9,   // ours: rings, tables, the library itself
};

const char* to_string(Layer);         // os heap driver pool
const char* to_string(Space);         // host pinned managed device
const char* to_string(TransferKind);  // HtoD DtoH DtoD PtoP HtoH
const char* to_string(FrameKind);     // native python
const char* to_string(Severity);      // info data_loss error
// file heap arena stack anonymous static shared device kernel tidemark
const char* to_string(MappingKind);

inline constexpr int64_t kNever =
    std::numeric_limits<int64_t>::max();  // free_ns of what still lives
inline constexpr int16_t kNoDevice = -1;

// One lifetime. Host ones (layers os and heap) are stored in columns, all others as plain rows.
struct Allocation {
  AllocationId id{};
  ProcessId process{};
  ThreadId thread{};  // that allocated
  Layer layer{};
  Space space{};
  int16_t device = kNoDevice;
  uint64_t address = 0;
  uint64_t size = 0;
  int64_t alloc_ns = 0;
  int64_t free_ns = kNever;  // kNever: not freed; it still ends with its process (analyzer/usage)
  StackId alloc_stack{};
  StackId free_stack{};
  StringId api{};
  StringId source{};
};

struct Transfer {
  int64_t id = 0;
  ProcessId process{};
  int16_t device = kNoDevice;
  uint32_t stream = 0;
  TransferKind kind{};
  uint64_t bytes = 0;
  Space src_space{};
  Space dst_space{};
  uint64_t src_address = 0;  // 0: unknown
  uint64_t dst_address = 0;
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  uint32_t correlation = 0;
  StackId stack{};
  // The innermost blocks that lived at the addresses when it was asked for; 0: none known.
  AllocationId src_allocation{};
  AllocationId dst_allocation{};
};

struct Memset {
  int64_t id = 0;
  ProcessId process{};
  int16_t device = kNoDevice;
  uint32_t stream = 0;
  uint64_t address = 0;
  uint64_t bytes = 0;
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  uint32_t correlation = 0;
  StackId stack{};
  AllocationId allocation{};  // as of a Transfer
};

struct Kernel {
  int64_t id = 0;
  ProcessId process{};
  int16_t device = kNoDevice;
  uint32_t stream = 0;
  StringId name{};  // demangled
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  uint32_t correlation = 0;
  uint32_t graph = 0;  // 0: none
  StackId stack{};
};

// A kernel was handed a block: the innermost one that lived at one of its arguments.
struct Access {
  int64_t kernel = 0;
  AllocationId allocation{};
  bool operator==(const Access&) const = default;
};

struct Marker {
  MarkerId id{};
  ProcessId process{};
  ThreadId thread{};
  StringId domain{};
  StringId name{};
  int64_t start_ns = 0;
  int64_t end_ns = kNever;
};

// What a framework's pool held from the driver, each time it changed.
struct PoolReserved {
  ProcessId process{};
  int16_t device = kNoDevice;
  int64_t time_ns = 0;
  uint64_t reserved_bytes = 0;
};

struct OutOfMemory {
  ProcessId process{};
  ThreadId thread{};
  int16_t device = kNoDevice;
  Layer layer{};
  int64_t time_ns = 0;
  uint64_t requested_bytes = 0;
  uint64_t allocated_bytes = 0;
  uint64_t reserved_bytes = 0;
  StackId stack{};
};

struct Process {
  ProcessId id{};
  int32_t pid = 0;
  ProcessId parent{};
  std::string command;
  int64_t start_ns = 0;
  int64_t end_ns = kNever;  // kNever: the recording ended first
  // Exit status as a shell shows it (128 + signal when killed); INT32_MIN: unknown.
  int32_t exit = std::numeric_limits<int32_t>::min();
  int32_t rank = -1;  // RANK in the environment, -1 none
};

struct Thread {
  ThreadId id{};
  ProcessId process{};
  int32_t tid = 0;
  std::string name;
};

struct Frame {
  FrameKind kind{};
  std::string function;  // demangled; "" unknown
  std::string file;      // "" unknown
  int32_t line = 0;      // 0 unknown
  std::string module;    // path of the library or program
  bool inlined = false;
  bool operator==(const Frame&) const = default;
};

// What the system said of a process at one moment. Beside the first two, what was not asked for at
// that moment, because asking costs too much to do it each time, is kNotMeasured.
inline constexpr int64_t kNotMeasured = -1;
struct ProcessMemory {
  ProcessId process{};
  int64_t time_ns = 0;
  int64_t rss_bytes = 0;                   // resident, shared pages in full
  int64_t peak_rss_bytes = kNotMeasured;   // the largest so far, by the kernel's own count
  int64_t pss_bytes = kNotMeasured;        // each shared page divided by its sharers
  int64_t anonymous_bytes = kNotMeasured;  // these three add up to the resident bytes
  int64_t file_bytes = kNotMeasured;
  int64_t shared_bytes = kNotMeasured;
  int64_t swap_bytes = kNotMeasured;
  int64_t huge_page_bytes = kNotMeasured;  // hugetlb pages: not part of the resident bytes
  int64_t minor_faults = 0;                // since the process began
  int64_t major_faults = 0;
  bool operator==(const ProcessMemory&) const = default;
};

// One piece of an address space at one moment; adjacent pieces of one file are one.
struct Mapping {
  ProcessId process{};
  int64_t time_ns = 0;
  uint64_t start = 0;
  uint64_t mapped_bytes = 0;
  MappingKind kind{};
  StringId path{};  // of a file
  uint64_t resident_bytes = 0;
  uint64_t pss_bytes = 0;
  uint64_t swap_bytes = 0;
  uint64_t huge_page_bytes = 0;  // transparent ones, part of the resident bytes
  bool operator==(const Mapping&) const = default;
};

// What all allocations of one stack and kind of call in a host layer came to. Exact.
struct HostTotal {
  ProcessId process{};
  Layer layer{};  // os or heap
  StackId stack{};
  StringId api{};
  uint64_t allocations = 0;
  uint64_t allocated_bytes = 0;
  uint64_t frees = 0;  // what is missing to the allocations was never freed
  uint64_t freed_bytes = 0;
  uint64_t temporary = 0;   // heap: freed before the thread that allocated it allocated again
  uint64_t peak_bytes = 0;  // of this group alone
  // What the group held when the layer, over all processes, was at its peak; and when the layer in
  // its process was.
  uint64_t at_peak_count = 0;
  uint64_t at_peak_bytes = 0;
  uint64_t at_process_peak_count = 0;
  uint64_t at_process_peak_bytes = 0;
  bool operator==(const HostTotal&) const = default;
};

// Live bytes of a host layer from this moment on. Thinned out, but every maximum is there.
struct HostCurvePoint {
  ProcessId process{};  // 0: all together
  Layer layer{};
  int64_t time_ns = 0;
  uint64_t bytes = 0;
  uint64_t count = 0;
  bool operator==(const HostCurvePoint&) const = default;
};

struct Loss {
  std::string name;
  Severity severity{};
  uint64_t count = 0;
};

}  // namespace tidemark::trace
