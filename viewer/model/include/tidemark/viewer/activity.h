// What the timeline shows beside usage: the map of blocks of each series, what every stream of a
// device did, the program's own ranges, curves that were sampled, and moments at which memory ran
// out. Built once, then immutable; any thread may read it. Owns its data.
//
// Bounded: of each series the largest kMostBars lifetimes are kept and of all lanes together the
// first kMostSlices slices; how many were not is said in the map and in `unseen_slices`.
#pragma once

#include <algorithm>
#include <atomic>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tidemark/viewer/block_map.h"
#include "tidemark/viewer/pyramid.h"
#include "tidemark/viewer/slice_lane.h"

namespace tidemark::viewer {

inline constexpr size_t kMostBars = 1'000'000;
inline constexpr size_t kMostThreads = 16;
inline constexpr size_t kMostSlices = 8'000'000;

struct StreamTrack {
  std::string name;  // "stream 7 of device 0"
  int16_t device = trace::kNoDevice;
  SliceLane lane;
};

struct RangeTrack {
  std::string name;              // of the thread
  std::vector<SliceLane> lanes;  // outermost first
};

// How often a thread allocated, counted in spans of one length over the whole recording.
struct ThreadTrack {
  std::string name;
  std::vector<analyzer::UsagePoint> points;  // `bytes`: allocations in the span that begins then
  PeakPyramid pyramid;
  int64_t most = 0;  // in one span
  uint64_t allocations = 0;
  int64_t span_ns = 0;
};

enum class SampleUnit : uint8_t { kBytes, kMilliwatts };

std::string format_sample(int64_t value, SampleUnit unit);

struct SampleTrack {
  std::string name;                          // "resident memory of python3 (4217)"
  std::vector<analyzer::UsagePoint> points;  // `bytes`: in `unit`
  PeakPyramid pyramid;
  int64_t peak = 0;
  int64_t limit = 0;  // what the device has; 0: not known
  SampleUnit unit = SampleUnit::kBytes;
};

struct Moment {
  int64_t time_ns = 0;
  std::string text;
};

struct Activity {
  std::vector<BlockMap> maps;  // in the order of Series
  std::vector<StreamTrack> streams;
  std::vector<RangeTrack> ranges;
  std::vector<SampleTrack> samples;
  std::vector<ThreadTrack> threads;  // the kMostThreads that allocate most, most first
  size_t unseen_threads = 0;
  std::vector<Moment> out_of_memory;
  std::vector<std::string> texts;  // of slices
  // Of each device as the trace's header says it; 0: not known.
  std::vector<int64_t> capacity_bytes;
  uint64_t unseen_slices = 0;

  const BlockMap* map_of(const analyzer::Series& series) const;
  int64_t capacity_of(const analyzer::Series& series) const;
  const std::string& text(const Slice& slice) const { return texts[slice.name]; }
};

// Errors: what the Reader says. `stop`: gives up between batches with an error when it is set.
[[nodiscard]] Result<Activity> load_activity(const trace::Reader& reader,
                                             const std::atomic<bool>* stop = nullptr);

// Allocations by thread and span of time.
class ThreadCounts {
 public:
  static constexpr int64_t kSpans = 4096;
  explicit ThreadCounts(int64_t end_ns) : span_ns_(std::max<int64_t>(end_ns / kSpans + 1, 1)) {}
  void add(const trace::Allocation& row);
  // Without names. The busiest first.
  std::vector<std::pair<trace::ThreadId, ThreadTrack>> tracks() const;

 private:
  int64_t span_ns_;
  std::unordered_map<int32_t, std::vector<uint32_t>> spans_;
};

// The lifetimes of every series, the largest `most` of each. `threads`: counted on the way.
[[nodiscard]] Result<std::vector<BlockMap>> load_maps(const trace::Reader& reader, size_t most,
                                                      const std::atomic<bool>* stop,
                                                      ThreadCounts* threads = nullptr);

}  // namespace tidemark::viewer
