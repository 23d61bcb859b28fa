// Everything a report says, as values: every face (text, JSON, the viewer) is made from this one
// struct, so that the same number stands everywhere. Pure: reads through trace::Reader; owns all
// it holds but nothing of the Reader. Any thread that owns the Reader.
//
// Times: ns since the recording began. Sizes: bytes. What the recording did not measure is absent
// (std::nullopt or an empty list), never 0.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/categories.h"
#include "tidemark/analyzer/detail.h"
#include "tidemark/analyzer/findings.h"
#include "tidemark/analyzer/process_memory.h"
#include "tidemark/analyzer/stack_view.h"
#include "tidemark/analyzer/techniques.h"
#include "tidemark/analyzer/usage.h"

namespace tidemark::analyzer {

struct ReportOptions {
  size_t stacks = 8;       // groups shown per series, at the peak and of leaks; 0: do not look
  size_t stack_lines = 8;  // per group
  size_t kernel_names = 10;
  size_t culprits = 10;  // lines of code and layers shown per series; 0: do not look
  AdviceDepth advice = AdviceDepth::kNone;
  std::optional<DetailLimits> detail;  // absent: none; only where culprits are looked for
};

// Some of the bytes of a series, with who asked for them.
struct StackShare {
  uint64_t bytes = 0;
  uint64_t count = 0;
  std::string api;
  StackView stack;
};

struct StackShares {
  uint64_t bytes = 0;  // of all groups, also those not shown
  uint64_t count = 0;
  uint64_t groups = 0;
  std::vector<StackShare> top;  // most bytes first
};

struct ProcessLine {
  trace::Process process;
  size_t depth = 0;  // in the tree; a parent stands before its children
  int signal = 0;    // that killed it, 0 none
  size_t threads = 0;
  ProcessMemoryUse memory;
  StackShares heap_at_peak;  // of this process alone
};

struct ApiCount {
  std::string api;
  uint64_t allocations = 0;
  uint64_t bytes = 0;
};

struct CategoryBytes {
  std::string category;
  int64_t bytes = 0;
};

// Bytes of a series at its peak by one line of code, or by one layer of the model.
struct Culprit {
  std::string name;  // "train.py:63 train", "GPT2Model[0].GPT2Block[3]"
  std::string file;  // "": not known
  int32_t line = 0;  // 0: not known
  uint64_t bytes = 0;
  uint64_t count = 0;
  bool backward = false;  // asked for by the backward pass of that line ("backward of train.py:63")
};

// How far it is known which line of forward the blocks belong to that backward asked for: over the
// whole recording, by what tells.
struct BackwardShare {
  struct Sum {
    uint64_t blocks = 0;
    uint64_t bytes = 0;
  };
  Sum saved_block;  // BackwardEvidence
  Sum order;
  Sum neighbours;
  Sum unknown;
};

// Why the peak stood where it did, and not higher or lower.
struct PeakCause {
  int32_t iteration = -1;  // into Report::structure, -1: in none
  Phase phase{};
  int64_t rise_ns = 0;             // when the last rise began: usage was below nine tenths
  uint64_t risen_bytes = 0;        // of what was allocated since, what was live at the peak
  std::vector<Culprit> risen;      // by line, most bytes first
  std::optional<Culprit> largest;  // line of code at the peak
  int64_t next_peak_bytes = 0;     // by replay, had that line allocated nothing
  int64_t next_peak_ns = 0;
};

struct SeriesReport {
  Series series;
  int64_t peak_bytes = 0;
  int64_t peak_ns = 0;
  std::vector<CategoryBytes> categories;  // at the peak; they add up to peak_bytes
  std::vector<Culprit> lines;             // at the peak, most bytes first; as far as asked for
  std::vector<Culprit> layers;            // of the innermost level that holds several blocks
  std::optional<PeakCause> cause;         // absent: nothing is known of single blocks
  std::optional<BackwardShare> backward;  // absent: PyTorch's backward asked for none
  uint64_t allocations = 0;
  uint64_t frees = 0;
  uint64_t allocated_bytes = 0;
  uint64_t unfreed_bytes = 0;  // still live when their process or the recording ended
  uint64_t unfreed_count = 0;
  // From one iteration to the next, on average; 0: it does not rise with each; absent: there are
  // not enough iterations to compare.
  std::optional<uint64_t> growth_bytes;
  std::vector<ApiCount> apis;  // most allocations first
  StackShares at_peak;
  StackShares leaked;  // of unfreed, what belonged to processes that ended by themselves
  std::optional<SeriesDetail> detail;
};

struct TransferLine {
  trace::TransferKind kind{};
  trace::Space src_space{};
  trace::Space dst_space{};
  uint64_t count = 0;
  uint64_t bytes = 0;
  int64_t time_ns = 0;  // of each copy, added up
};

struct OperationTotal {
  uint64_t count = 0;
  uint64_t bytes = 0;
  int64_t time_ns = 0;
};

struct KernelLine {
  std::string name;
  uint64_t count = 0;
  int64_t time_ns = 0;
};

struct KernelTotal {
  uint64_t count = 0;
  int64_t time_ns = 0;
  uint64_t names = 0;
  int64_t product_ns = 0;             // of it matrix products and convolutions, by their names
  int64_t full_float_product_ns = 0;  // of these, in 32 bits beside the tensor cores
  int64_t short_product_ns = 0;       // of these, in 16 bits or fewer
  std::vector<KernelLine> top;        // most time first
};

// How much of the device's memory was used by what the device did. Counted are blocks that hold no
// others: those of pools, and of the driver's allocations those in which no pool's block ever lay.
struct AccessTotal {
  uint64_t accesses = 0;  // blocks handed to kernels
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  uint64_t touched_blocks = 0;  // by a kernel, a copy or a set
  uint64_t touched_bytes = 0;
};

// A framework's caching pool on one device, over all processes.
struct PoolReport {
  int16_t device = trace::kNoDevice;
  int64_t peak_allocated_bytes = 0;
  int64_t peak_allocated_ns = 0;
  int64_t peak_reserved_bytes = 0;
  int64_t peak_reserved_ns = 0;
};

// One device that the program used, as its driver counts it (NVML), at the moment at which the
// recorded processes held most of it; or everybody, where the driver does not tell them apart.
struct DeviceMemoryLine {
  std::string bus;
  int16_t device = trace::kNoDevice;  // the program's number
  int64_t at_ns = 0;
  uint64_t total_bytes = 0;
  uint64_t used_bytes = 0;                 // by everybody
  std::optional<uint64_t> recorded_bytes;  // of it, by the recorded processes
  uint64_t allocated_bytes = 0;            // of it, by the driver layer's allocations
  uint64_t pool_bytes = 0;                 // of them, held by the frameworks' pools
  uint64_t idle_bytes = 0;                 // beside them, in the driver's pools, handed to nobody

  uint64_t unexplained_bytes() const;  // contexts, code, libraries; others where not told apart
  uint64_t others_bytes() const;       // of processes that are not recorded
};

// The driver's own memory pools on one device (cudaMallocAsync), over all processes and pools.
struct DriverPoolLine {
  int16_t device = trace::kNoDevice;
  uint64_t pools = 0;
  uint64_t peak_held_bytes = 0;  // from the device
  int64_t peak_held_ns = 0;      // the first such moment
  uint64_t used_then_bytes = 0;  // of it, handed out
  uint64_t peak_used_bytes = 0;
};

// What the driver did with pages of managed memory, of one kind.
struct MigrationLine {
  trace::MigrationKind kind{};
  uint64_t count = 0;
  uint64_t bytes = 0;
  uint64_t faults = 0;
  int64_t duration_ns = 0;  // of all of them, one after the other
};

// Device memory of other processes, opened through IPC handles: in no sum of allocations.
struct ImportLine {
  int16_t device = trace::kNoDevice;
  uint64_t count = 0;
  int64_t peak_bytes = 0;  // open at once
  uint64_t never_closed = 0;
  uint64_t of_unknown_size = 0;
};

// What one of the program's devices took (NVML), from the first look to the last: the whole board,
// whoever used it.
struct PowerLine {
  std::string bus;
  int16_t device = trace::kNoDevice;
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  int64_t mean_mw = 0;  // milliwatts
  struct Peak {
    int64_t mw = 0;
    int64_t at_ns = 0;
  };
  // The highest that was seen. Absent where even that lies below the average by the counter: the
  // driver's figure is itself an average, of the second before, and nothing looked at lasted so
  // long.
  std::optional<Peak> peak;
  int64_t energy_mj = 0;  // millijoules
  bool counted =
      false;  // by the driver's counter; otherwise each look's power holds until the next
  // Of one after the warm-up, on average; absent where they were not all looked at, or took less
  // than a second together.
  std::optional<int64_t> iteration_mj;
};

struct OutOfMemoryLine {
  trace::OutOfMemory event;
  StackView stack;
  // Of the first few events: what lived then of that process on that device, in the pool; where
  // none was seen or asked, of what the driver had given.
  StackShares live;
  trace::Layer live_layer = trace::Layer::kPool;
  // The largest piece of what the pool held that no block lay in; absent where its memory is
  // mapped piece by piece (expandable segments), or no pool was asked.
  std::optional<uint64_t> largest_hole_bytes;
  std::optional<uint64_t> device_free_bytes;  // as the driver last said before it
  std::optional<uint64_t> device_total_bytes;
};

// One rank of a distributed job: the largest sum over its processes at one moment, of each.
struct RankLine {
  int32_t rank = 0;
  uint64_t processes = 0;
  std::vector<int16_t> devices;  // ascending, as its processes number them
  uint64_t pool_bytes = 0;
  uint64_t driver_bytes = 0;        // of devices
  uint64_t communicator_bytes = 0;  // of that, asked for by NCCL and its like
  uint64_t pinned_bytes = 0;
  uint64_t heap_bytes = 0;                 // the largest process's own peak
  std::optional<uint64_t> resident_bytes;  // the largest process's
};

// Whether what was recorded of one device would have fitted smaller and larger ones.
struct FitLine {
  struct Size {
    uint64_t gigabytes = 0;  // as cards are named
    uint64_t usable_bytes = 0;
  };
  int16_t device = trace::kNoDevice;
  uint64_t allocated_bytes = 0;          // at the peak of the driver's allocations, all processes
  std::optional<uint64_t> beside_bytes;  // contexts, code, libraries; absent: NVML did not tell
  std::vector<Size> sizes;               // ascending

  uint64_t needed_bytes() const { return allocated_bytes + beside_bytes.value_or(0); }
};

// Of --window: when the work of devices was kept.
struct WindowReport {
  std::string option;
  std::vector<trace::RecordingWindow> windows;
  uint64_t kernels_outside = 0;
  uint64_t copies_outside = 0;
  uint64_t sets_outside = 0;
  std::optional<int64_t> iterations;  // most that a process began; none: not counted
};

struct Report {
  std::string path;
  std::string command;  // of the first process
  int64_t span_ns = 0;
  bool finished = true;
  std::vector<OutOfMemoryLine> out_of_memory;
  std::vector<ProcessLine> processes;
  uint64_t threads = 0;
  std::vector<SeriesReport> series;
  std::vector<Finding> findings;              // most bytes x time first
  std::optional<TechniqueAdvice> techniques;  // where it was asked for
  Structure structure;                        // of the training loop, where there is one
  std::vector<PoolReport> pools;
  std::vector<DeviceMemoryLine> device_memory;
  std::vector<DriverPoolLine> driver_pools;  // ascending by device; so are imports
  std::vector<MigrationLine> migrations;     // by kind
  std::vector<ImportLine> imports;
  std::vector<PowerLine> power;
  std::vector<FitLine> fits;
  std::vector<TransferLine> transfers;
  std::optional<OperationTotal> memsets;
  std::optional<KernelTotal> kernels;
  std::optional<AccessTotal> accesses;  // where kernels tell what they were handed
  uint64_t markers = 0;
  std::optional<Condensed> condensed;  // host allocations, by --max-size
  std::vector<trace::Loss> losses;     // worst first; what was counted 0 times is left out
  std::vector<std::string> remarks;    // what a reader must know before believing the rest
  std::vector<RankLine> ranks;         // ascending; of one alone there is nothing to compare: empty
  std::optional<WindowReport> window;

  uint64_t allocations() const;  // of all series
  uint64_t frees() const;
  bool has_device() const;  // anything of a device was recorded
  bool lost_data() const;   // a loss of data or an error was counted
};

[[nodiscard]] Result<Report> build_report(const trace::Reader& reader,
                                          const ReportOptions& options);

}  // namespace tidemark::analyzer
