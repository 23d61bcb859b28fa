// A schedule: the lifetimes of one series' blocks in order, with what is known of each, so that a
// what-if can change some and an allocator model can replay the result. Iterations, phases and
// categories are those of structure.h and categories.h.
//
//   position      0     1     2     3     4     5     6
//   event      alloc A  alloc B  free A  alloc C  free C …
//   A          begin 0, end 2 · B begin 1, end kForever · C begin 3, end 4
//
// Positions stand for the order of events, not for time. Recorded ones are kStride apart, so that a
// transform can put events between them. Pure: reads through trace::Reader, keeps nothing of it.
// Plain values; any thread. Sizes: bytes. Times: ns since the recording began.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tidemark/analyzer/categories.h"
#include "tidemark/trace/reader.h"

namespace tidemark::analyzer {

enum class BatchLaw : uint8_t { kFixed, kPerSample };

// What the elements of a block are, as far as its operator tells.
enum class ElementKind : uint8_t {
  kFloat,      // of the model's precision
  kFullFloat,  // 4 bytes whatever the model's precision is: statistics, losses
  kOther,      // indices, masks, random state, raw workspaces
};

struct ScheduledBlock {
  static constexpr int64_t kForever = std::numeric_limits<int64_t>::max();
  uint64_t bytes = 0;           // as requested, as far as that can be told from recorded blocks
  uint64_t recorded_bytes = 0;  // of the block that was handed out; 0: a transform's own
  uint64_t fixed_bytes = 0;     // of `bytes`, where the rest alone follows the batch
  uint64_t split_bytes = 0;     // of `fixed_bytes`: partial sums, fewer for more samples
  uint64_t raw_bytes = 0;       // of `fixed_bytes`: in every precision
  int64_t begin = 0;
  int64_t end = kForever;
  trace::AllocationId origin{};  // 0: a transform's own
  uint32_t iteration = 0;        // from 1; 0: in none of them
  uint32_t instance = 0;         // of Schedule::instances, whose forward made it; from 1, 0: none
  uint32_t operation = 0;        // of Schedule::operations
  uint32_t stack = 0;            // of Schedule::calls
  uint32_t stream = 0;           // what is freed on one is handed out there alone
  Phase phase{};
  Category category = Category::kUnknown;
  BatchLaw law{};
  ElementKind element{};
  bool trained = false;          // a parameter that the optimizer works on
  bool in_attention = false;     // made within attention that is not fused
  bool attention_pairs = false;  // a matrix of all pairs of positions, where attention is not fused
  bool transposed_weight = false;  // a product with a weight that it sees transposed
  bool chosen = false;             // scratch of an algorithm that its library chooses by the sizes
  bool saved = false;              // made in forward, and a kernel of backward uses it
};

// Something the device did: a kernel, a copy or a set.
struct DeviceWork {
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  int64_t position = 0;  // after the last allocation among its blocks, and in order of start
  uint32_t first_block = 0;
  uint32_t blocks = 0;  // Schedule::blocks_of
  uint32_t iteration = 0;
  Phase phase{};
  float left = 1;  // of its time, after what was changed
};

// A call of a module's forward on a stack.
struct ForwardCall {
  std::string name;        // class
  uint64_t call_site = 0;  // hash of all Python frames around it, with their lines
  bool operator==(const ForwardCall&) const = default;
};

// One call of a module's forward, where modules of one class follow each other: a layer.
struct ModuleInstance {
  std::string name;  // class
  uint32_t iteration = 0;
  int64_t begin = 0;  // positions of its forward's first and last allocation
  int64_t end = 0;
};

// One iteration, in positions.
struct ScheduledStep {
  int64_t begin = 0;
  int64_t backward = 0;  // where its backward begins; where its optimizer does
  int64_t optimizer = 0;
  int64_t end = 0;
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
};

struct Schedule {
  static constexpr int64_t kStride = int64_t{1} << 32;

  Series series;
  std::vector<ScheduledBlock> blocks;  // in order of begin
  std::vector<DeviceWork> work;        // in order of start
  std::vector<uint32_t> work_blocks;   // indices of blocks
  std::vector<ScheduledStep> iterations;
  std::vector<ModuleInstance> instances;
  std::vector<std::string>
      operations;  // of autograd or ATen: "addmm", "NativeLayerNormBackward0"; [0] is ""
  std::vector<std::vector<ForwardCall>> calls;  // of each stack, outermost first
  std::vector<int64_t> event_ns;                // when the event at position i * kStride was
  uint32_t float_bytes = 4;                     // of an element of a parameter
  // The fastest copy of 1 MiB and more between host and device; 0: there was none.
  double link_bytes_per_second = 0;
  // Groups of 128 threads that the device runs at once; 0: it is not known which it is.
  uint64_t groups_at_once = 0;
  // The allocator model that stands for what was recorded: "torch", or "exact" where there was no
  // framework's pool.
  std::string allocator = "torch";
  // Libraries choose their algorithms for other sizes than the recorded ones.
  bool chosen_anew = false;
  // What the recording itself says, to hold a replay against.
  uint64_t recorded_peak_allocated = 0;
  uint64_t recorded_peak_reserved = 0;
  // What libraries keep from the driver beside the pool: cuBLAS, NCCL, loaded code.
  uint64_t beside_pool_bytes = 0;

  // Of a position between two events that of the earlier one; the last one's of those behind it.
  int64_t time_at(int64_t position) const;
  std::span<const uint32_t> blocks_of(const DeviceWork& item) const {
    return std::span(work_blocks).subspan(item.first_block, item.blocks);
  }
};

// What whatif is asked about in a space: a device's pool of a framework, else what the program had
// from the driver there; the host's heap. Errors: nothing was recorded there.
[[nodiscard]] Result<Series> series_in(const trace::Reader& reader, trace::Space space,
                                       int16_t device);
[[nodiscard]] Result<Schedule> build_schedule(const trace::Reader& reader, const Series& series);

// Finds the layers anew: all calls of the modules of one class, or, where `module` is "", of those
// that follow each other from one place. Errors: there are none.
[[nodiscard]] Result<void> find_layers(Schedule& schedule, const std::string& module);

}  // namespace tidemark::analyzer
