// Reads one trace, which is untrusted input: opening runs no code from it, follows no path in it,
// and sizes read from it are checked before memory is taken. Single-threaded: one thread owns a
// Reader; open the file again for another thread.
//
// A trace that is still being written, or whose writer was killed, opens as far as it was
// committed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tidemark/trace/device_memory.h"
#include "tidemark/trace/result.h"
#include "tidemark/trace/types.h"

namespace tidemark::trace {

struct AllocationFilter {
  std::optional<Layer> layer;
  std::optional<Space> space;
  std::optional<int16_t> device;
  // Only lifetimes with alloc_ns < end_ns and free_ns > begin_ns.
  int64_t begin_ns = std::numeric_limits<int64_t>::min();
  int64_t end_ns = kNever;
  std::optional<StackId> alloc_stack;
  // Not in order of id but as they lie in the file: for sums, where it is a little faster.
  bool any_order = false;
};

// Bounds, both included. Kernels of one stream have ids in order of time; over several they may
// differ from it by as much as the device's records come late.
struct AccessFilter {
  int64_t first_kernel = 1;
  int64_t last_kernel = std::numeric_limits<int64_t>::max();
  AllocationId first_allocation{1};
  AllocationId last_allocation{std::numeric_limits<int64_t>::max()};
};

// One cell of a query's answer, as text the way sqlite3 prints it; a blob as its bytes.
struct Cell {
  enum class Type : uint8_t { kNull, kInteger, kReal, kText, kBlob } type{};
  std::string text;
};

class Reader {
 public:
  // Errors: no such file, not a trace, a newer or older format version, damaged. Each says so in
  // one line with what to do.
  [[nodiscard]] static Result<std::unique_ptr<Reader>> open(const std::string& path);
  virtual ~Reader() = default;

  virtual const std::string& path() const = 0;
  virtual std::string meta(std::string_view key) const = 0;  // "" when absent
  virtual const std::vector<std::pair<std::string, std::string>>& all_meta() const = 0;
  virtual const std::vector<Process>& processes() const = 0;
  virtual const std::vector<Thread>& threads() const = 0;
  virtual const std::vector<Loss>& losses() const = 0;
  virtual bool finished() const = 0;   // false: still recording, or the collector was killed
  virtual int64_t end_ns() const = 0;  // of the recording; the last event when unfinished

  // Valid as long as the Reader. Unknown ids give "".
  virtual const std::string& text(StringId id) const = 0;
  // Innermost first; empty when there is no stack or no symbols. Cached; valid as long as the
  // Reader.
  virtual std::span<const Frame> frames(StackId id) const = 0;

  // Each calls `visit` with batches, in order of id (allocations: the order in which the collector
  // saw them, which for one address is time). The span is valid during the call. Of a finished
  // trace, what a filter of allocations leaves out is mostly not even decoded: what lived at one
  // moment costs little more than its own rows.
  template <class Row>
  using Visit = std::function<void(std::span<const Row>)>;
  [[nodiscard]] virtual Result<void> allocations(const AllocationFilter& filter,
                                                 const Visit<Allocation>& visit) const = 0;
  [[nodiscard]] virtual Result<void> transfers(const Visit<Transfer>& visit) const = 0;
  [[nodiscard]] virtual Result<void> memsets(const Visit<Memset>& visit) const = 0;
  [[nodiscard]] virtual Result<void> kernels(const Visit<Kernel>& visit) const = 0;
  // In order of kernel id. Of one kernel's: those of one chunk are decoded. Of one allocation's:
  // those of the chunks from its first use on.
  [[nodiscard]] virtual Result<void> accesses(const AccessFilter& filter,
                                              const Visit<Access>& visit) const = 0;
  [[nodiscard]] virtual Result<void> markers(const Visit<Marker>& visit) const = 0;
  [[nodiscard]] virtual Result<std::vector<PoolReserved>> pool_reserved() const = 0;
  [[nodiscard]] virtual Result<std::vector<OutOfMemory>> out_of_memory() const = 0;
  // In the order in which they were taken; of one process that is time. Traces of format 1 have
  // none.
  [[nodiscard]] virtual Result<std::vector<ProcessMemory>> process_memory() const = 0;
  // In the order in which they were taken.
  [[nodiscard]] virtual Result<std::vector<DeviceMemory>> device_memory() const = 0;
  [[nodiscard]] virtual Result<std::vector<DevicePower>> device_power() const = 0;
  // As CUPTI told of them: of several streams not in order of time.
  [[nodiscard]] virtual Result<std::vector<DriverPool>> driver_pools() const = 0;
  // In order of id: as CUPTI told of them.
  [[nodiscard]] virtual Result<void> migrations(const Visit<Migration>& visit) const = 0;
  [[nodiscard]] virtual Result<std::vector<ImportedMemory>> imports() const = 0;
  [[nodiscard]] virtual Result<std::vector<Mapping>> mappings() const = 0;
  // Where there are any (--host=aggregate, --max-size), they speak for the host layers as a whole,
  // and rows of these are none or not all. Ascending in time for each process and layer.
  [[nodiscard]] virtual Result<std::vector<HostTotal>> host_totals() const = 0;
  [[nodiscard]] virtual Result<std::vector<HostCurvePoint>> host_curve() const = 0;

  // Runs one read-only SQL statement over all tables of the design, `allocation` with host rows
  // too. `header` is called once, then `row` per row; row returns false to stop.
  [[nodiscard]] virtual Result<void> query(
      const std::string& sql, const std::function<void(std::span<const std::string>)>& header,
      const std::function<bool(std::span<const Cell>)>& row) const = 0;

  // Of --window, in the order in which they were opened; none: see FORMAT.md.
  [[nodiscard]] virtual Result<std::vector<RecordingWindow>> windows() const = 0;
};

}  // namespace tidemark::trace
