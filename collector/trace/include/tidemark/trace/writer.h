// Writes one trace. Single-threaded: one thread owns a Writer. WAL while recording, so a reader can
// follow and a killed writer leaves a valid file; finish() merges chunks and leaves exactly one
// file.
//
// Adding functions buffer and cannot fail by themselves: the first failure (a full disk, say) is
// kept, later calls do nothing, and flush() and finish() return it. What had been committed stays
// readable.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "tidemark/trace/device_memory.h"
#include "tidemark/trace/result.h"
#include "tidemark/trace/types.h"

namespace tidemark::trace {

// How large a trace may become, with its journal and what is written when recording ends.
struct Limit {
  int64_t bytes = 0;
  bool host_rows = true;  // host allocations come one by one; false: only their sums
};

// What to do now, so that the trace stays below its limit.
enum class Room : uint8_t {
  kEnough,
  kCommit,    // commit(): the journal is long enough
  kCondense,  // bring the host's sums up to date, flush(), then condense()
};

struct Condensed {
  uint64_t allocations = 0;  // that have no row any more
  bool rows_left = true;     // false: no host allocation has one, and none is to be added
};

class Writer {
 public:
  // Replaces an existing trace at `path`, but refuses to replace a file that is not a trace.
  [[nodiscard]] static Result<std::unique_ptr<Writer>> create(const std::string& path);
  virtual ~Writer() = default;

  virtual StringId intern(std::string_view text) = 0;  // same text, same id; "" is 0
  virtual void meta(std::string_view key, std::string_view value) = 0;  // last one wins
  virtual void loss(std::string_view name, Severity severity, uint64_t added) = 0;

  virtual ProcessId add_process(const Process& process) = 0;  // its id is ignored and returned
  virtual void end_process(ProcessId id, int64_t end_ns, int32_t exit) = 0;
  virtual ThreadId add_thread(ProcessId process, int32_t tid, std::string_view name) = 0;
  virtual void rename_thread(ThreadId id, std::string_view name) = 0;

  // Stacks are paths in a tree, of which each node is written once. Its addresses are stored at
  // once, so that a killed recording can be symbolized; what they mean may be told later.
  // `word`: a return address, or a Python frame (wire/stack_id.h), first seen at `time_ns`.
  virtual AddressId add_address(ProcessId process, uint64_t word, int64_t time_ns) = 0;
  virtual StackNodeId add_stack_node(StackNodeId caller, AddressId address) = 0;  // 0: outermost
  virtual StackId add_stack(ProcessId process, StackNodeId innermost) = 0;
  virtual FrameId add_frame(const Frame& frame) = 0;  // same frame, same id
  // Innermost first; more than one where calls were inlined. A hook's frames belong to no stack of
  // which they are the innermost. The last word holds.
  virtual void name_address(AddressId id, std::span<const FrameId> frames, bool hook) = 0;
  // A stack that shares nothing with others.
  StackId add_framed_stack(ProcessId process, std::span<const Frame> innermost_first);
  virtual void add_module(ProcessId process, std::string_view path, std::string_view build_id_hex,
                          uint64_t base, uint64_t start, uint64_t end, int64_t loaded_ns,
                          int64_t unloaded_ns) = 0;
  // All that was added of this process with this `start`.
  virtual void drop_modules(ProcessId process, uint64_t start) = 0;

  virtual AllocationId add_allocation(const Allocation& begin) = 0;  // id and free_* are ignored
  virtual void end_allocation(AllocationId id, Layer layer, int64_t free_ns,
                              StackId free_stack) = 0;
  // Takes back the last end_allocation of `id` (a failed realloc).
  virtual void revive_allocation(AllocationId id, Layer layer) = 0;

  virtual void add_transfer(const Transfer& transfer) = 0;  // ids are given by the writer
  virtual void add_memset(const Memset& memset) = 0;
  // The kernel's id; 0: it was not taken (a trace that may not grow, a failure).
  virtual int64_t add_kernel(const Kernel& kernel) = 0;
  // What the kernel that was added last was handed, each block once.
  virtual void add_accesses(int64_t kernel, std::span<const AllocationId> allocations) = 0;
  // What is open may end later; 0: it was not taken (limit()).
  virtual MarkerId add_marker(const Marker& marker) = 0;
  virtual void end_marker(MarkerId id, int64_t end_ns) = 0;
  virtual void add_pool_reserved(const PoolReserved& sample) = 0;
  virtual void add_out_of_memory(const OutOfMemory& event) = 0;
  // Its id is ignored and returned; it may end later.
  virtual WindowId add_window(const RecordingWindow& window) = 0;
  virtual void end_window(WindowId id, int64_t end_ns) = 0;
  virtual void add_device_memory(const DeviceMemory& sample) = 0;
  virtual void add_device_power(const DevicePower& sample) = 0;
  virtual void add_driver_pool(const DriverPool& sample) = 0;
  virtual void add_migration(const Migration& migration) = 0;  // its id is given by the writer
  // Its id is ignored and returned; it may end later.
  virtual ImportId add_import(const ImportedMemory& import) = 0;
  virtual void end_import(ImportId id, int64_t close_ns) = 0;
  virtual void add_process_memory(const ProcessMemory& sample) = 0;
  // One snapshot: all mappings of one process at one moment, ascending by address.
  virtual void add_mappings(std::span<const Mapping> snapshot) = 0;
  // Takes a snapshot back, because a later one tells more.
  virtual void drop_mappings(ProcessId process, int64_t time_ns) = 0;

  // Sums of the host's allocations beside their rows or instead of them, all of them anew.
  virtual void replace_host_totals(std::span<const HostTotal> totals,
                                   std::span<const HostCurvePoint> curves) = 0;

  // Call it before anything is added, and room() every thousand additions or so, and do what it
  // says.
  virtual void limit(const Limit& limit) = 0;
  virtual Room room() = 0;
  // What is complete; unlike flush() it leaves chunks open.
  [[nodiscard]] virtual Result<void> commit() = 0;
  // Takes host allocations that are over out of the trace, oldest first. The host's sums must have
  // been written: they hold all that was added, and are complete until `settled_ns`.
  [[nodiscard]] virtual Result<Condensed> condense(int64_t settled_ns) = 0;

  // Commits what was added. Called by the collector about once a second.
  [[nodiscard]] virtual Result<void> flush() = 0;
  // Merges chunks, checkpoints, leaves one file. The Writer is then closed.
  [[nodiscard]] virtual Result<void> finish() = 0;
};

}  // namespace tidemark::trace
