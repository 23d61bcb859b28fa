// What the details panel shows of a block, of an operation of the device and of a range of time.
// Values; the functions read through a Reader of the calling thread and may take long: call them
// from a worker.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tidemark/viewer/activity.h"
#include "tidemark/viewer/insight.h"
#include "tidemark/viewer/live_table.h"
#include "tidemark/viewer/view_state.h"

namespace tidemark::viewer {

// "kernel", "copied from", "copied to", "set".
const char* use_word(analyzer::UseKind kind);

struct BlockUse {
  analyzer::Use use;
  size_t name = 0;  // into BlockDetails::names
};

// A block in a list: enough to go there.
struct BlockLink {
  trace::AllocationId id{};
  analyzer::Series series;
  uint64_t address = 0;
  uint64_t bytes = 0;
  int64_t alloc_ns = 0;
  int64_t free_ns = trace::kNever;
  std::string what;  // category, else its call
};

struct BlockDetails {
  BlockLink block;
  std::string api;
  std::string source;
  std::string thread;
  std::string category;  // "": not known
  std::string phase;     // "forward of iteration 3 (likely)"
  std::string layer;
  std::string node;                             // "AddmmBackward0 (sure, by saved_block)"
  std::shared_ptr<const StackText> forward_at;  // of that operation
  std::shared_ptr<const StackText> allocated_at;
  std::shared_ptr<const StackText> freed_at;
  std::vector<BlockUse> uses;  // every one, in order of time; of more the first and last halves
  std::vector<std::string> names;
  uint64_t use_count = 0;
  bool uses_known = false;
  std::optional<BlockLink> below;  // in address, at its birth
  std::optional<BlockLink> above;
};

struct OperationDetails {
  SliceKind kind{};
  int64_t id = 0;
  std::string name;
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  std::shared_ptr<const StackText> stack;
  std::vector<BlockLink> blocks;  // most bytes first
  bool blocks_known = false;
};

struct RangeRow {
  std::string caption;
  uint64_t born_bytes = 0;
  uint64_t born_count = 0;
  uint64_t died_bytes = 0;
  uint64_t died_count = 0;
  uint64_t short_lived = 0;  // born and died within
  uint64_t kept_bytes = 0;   // born within, live at B
  uint64_t kept_count = 0;
  uint64_t leaked_bytes = 0;  // of these what nothing ever freed
  uint64_t leaked_count = 0;
  int64_t growth() const {
    return static_cast<int64_t>(born_bytes) - static_cast<int64_t>(died_bytes);
  }
};

struct RangeDetails {
  analyzer::Series series;
  TimeRange range;
  int64_t before_bytes = 0;  // live at the begin
  int64_t after_bytes = 0;   // live at the end
  int64_t peak_bytes = 0;    // within
  RangeRow all;
  std::vector<RangeRow> rows;  // by call stack, most growth first
};

inline constexpr size_t kMostUses = 1'000'000;

struct DetailsQuestion {
  Choice choice;
  std::optional<TimeRange> range;
  analyzer::Series series;  // of the range
  bool with_insight = false;
  bool operator==(const DetailsQuestion&) const = default;
};
using Details = std::variant<std::monostate, BlockDetails, OperationDetails, RangeDetails, Error>;

// `insight`, `activity`: null while they are not there yet.
Details find_details(const trace::Reader& reader, const Document& document,
                     const Activity* activity, const Insight* insight,
                     const DetailsQuestion& question);

[[nodiscard]] Result<RangeDetails> range_details(const trace::Reader& reader,
                                                 const Document& document,
                                                 const analyzer::Series& series, TimeRange range);

// Texts of a stack, made safe to be shown.
std::shared_ptr<const StackText> read_stack(const trace::Reader& reader, trace::StackId stack);

}  // namespace tidemark::viewer
