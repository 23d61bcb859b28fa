// Records one command, or a process that runs already: starts it, or attaches to it, drains what
// the injected libraries publish, and writes the trace. `tidemark record` is this function and its
// printing.
//
// record() blocks until the command has ended (or, attached, until a signal asks it to let go);
// call it from the main thread of a process that does nothing else, since it forks, installs signal
// handlers while it runs, and forwards signals that the recorder receives to the command. Errors
// are those after which nothing was started.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/collector/window.h"
#include "tidemark/trace/result.h"
#include "tidemark/trace/types.h"

namespace tidemark::collector {

// Below, the last second of a busy program would not fit beside the journal and the sums.
inline constexpr int64_t kLeastMaxBytes = int64_t{16} << 20;

struct RecordOptions {
  // kAggregate: sums for each stack and over time, and no rows.
  enum class Host : uint8_t { kFull, kAggregate, kOff };
  // kMemory: allocations alone, neither kernels, copies and sets nor what they use.
  enum class Device : uint8_t { kAuto, kMemory, kOff };
  enum class Stacks : uint8_t { kAll, kNative, kNone };
  enum class OnFull : uint8_t { kWait, kDrop };
  // kExpose: JAX, TensorFlow and CuPy are asked, by their environment, to take each buffer from the
  // driver, where it is seen, instead of from a pool of their own.
  enum class Pools : uint8_t { kAsTheyAre, kExpose };

  std::vector<std::string> command;  // program and its arguments; empty with `pid`
  int32_t pid = 0;                   // of a running process to attach to; 0: start the command
  std::string output;                // "": tidemark.<program>.<pid>.db in the current folder
  std::string library_dir;           // where libtidemark_preload.so and libtidemark_cuda.so lie
  Host host = Host::kFull;
  // The trace with its journal, in bytes: the oldest allocations are summed up to keep it below; 0:
  // as large as it gets.
  int64_t max_bytes = 0;
  Device device = Device::kAuto;
  bool access = true;  // which kernel is handed which block, where the device is recorded
  Stacks stacks = Stacks::kAll;
  bool free_stacks = true;  // who freed each block of the heap
  OnFull on_full = OnFull::kWait;
  WindowSpec window;                // what of the device's work is kept; with `pid`: too late
  std::string window_text;          // as the user wrote it
  Pools pools = Pools::kAsTheyAre;  // with `pid`: too late
  // Called with lines that the user should see at once: a static program, a full disk. May be
  // empty.
  std::function<void(const std::string& line)> notice;
  // Called while stacks are symbolized, after the command has ended. May be empty.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

// How the command ended.
struct ExitStatus {
  int code = 0;    // exit status as a shell shows it: 128 + signal when killed
  int signal = 0;  // that killed it, 0 none: the recorder then ends itself by the same signal
};

struct EventCounts {
  uint64_t host_allocations = 0;  // layer heap
  uint64_t host_frees = 0;        // as all frees: of what the trace holds; the others are losses
  uint64_t mappings = 0;          // layer os
  uint64_t unmappings = 0;
  uint64_t driver_allocations = 0;
  uint64_t driver_frees = 0;
  uint64_t pool_allocations = 0;
  uint64_t pool_frees = 0;
  uint64_t transfers = 0;
  uint64_t memsets = 0;
  uint64_t kernels = 0;
  uint64_t accesses = 0;  // of blocks by kernels
  uint64_t markers = 0;
  uint64_t out_of_memory = 0;
  uint64_t migrations = 0;  // of managed pages, with faults on them
  uint64_t imports = 0;     // of other processes' device memory
  uint64_t stacks = 0;
};

struct RecordSummary {
  ExitStatus exit;
  std::string output;
  EventCounts events;
  uint32_t processes = 0;
  uint32_t threads = 0;
  std::vector<trace::Loss> losses;
  int64_t duration_ns = 0;
  uint64_t trace_bytes = 0;
  // The trace could not be written to its end; says why and what was kept.
  std::optional<std::string> write_error;
};

struct RecordError : Error {
  int exit_code = 1;  // what the recorder should exit with: 126 and 127 as a shell does
};

[[nodiscard]] tl::expected<RecordSummary, RecordError> record(const RecordOptions& options);

}  // namespace tidemark::collector
