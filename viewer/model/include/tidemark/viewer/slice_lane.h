// What happened one after the other in one lane: kernels and copies of a stream, ranges of a
// thread, phases of a training step. At any zoom: what is wide enough to be seen is a cell of its
// own; what is not is folded with its neighbours into one that knows how many they are, how much of
// the time they took, and the longest.
//
// Immutable after building; any thread may ask. Times: ns since the recording began.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tidemark/trace/types.h"
#include "tidemark/viewer/max_tree.h"
#include "tidemark/viewer/time_axis.h"

namespace tidemark::viewer {

enum class SliceKind : uint8_t {
  kKernel,
  kCopyToDevice,
  kCopyToHost,
  kCopyOther,
  kSet,
  kRange,  // NVTX
  kIteration,
  kPhase,
};

struct Slice {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  int64_t id = 0;     // in the trace, of its kind; of a phase, which one
  uint32_t name = 0;  // into the owner's texts
  SliceKind kind{};
};

struct SliceCell {
  double begin_pixel = 0;
  double end_pixel = 0;
  size_t longest = 0;  // of the lane's slices
  size_t count = 1;    // more: folded
  double busy = 1;     // share of the cell's span that is taken
};

class SliceLane {
 public:
  SliceLane() = default;
  explicit SliceLane(std::vector<Slice> slices);

  const std::vector<Slice>& slices() const { return slices_; }
  void cells(const TimeAxis& axis, std::vector<SliceCell>* out) const;
  // The one that holds `time_ns`, else npos. `slack_ns`: also one so near.
  static constexpr size_t npos = static_cast<size_t>(-1);
  size_t at(int64_t time_ns, int64_t slack_ns = 0) const;
  // Those that begin then or later.
  std::span<const Slice> slices_from(int64_t time_ns) const {
    return std::span(slices_).subspan(first_from(time_ns));
  }
  // The first that begins after, the last that begins before; npos: none.
  size_t next(int64_t time_ns) const;
  size_t previous(int64_t time_ns) const;
  // Time taken by slices that begin in [first, last), which count as indices.
  int64_t busy_ns(size_t first, size_t last) const { return busy_[last] - busy_[first]; }

 private:
  size_t first_from(int64_t time_ns) const;

  std::vector<Slice> slices_;  // by begin
  std::vector<int64_t> busy_;  // of all before; one more at the end
  MaxTree durations_;
};

// Slices that may lie in each other, as ranges of a thread do: the outermost first.
std::vector<SliceLane> nest(std::vector<Slice> slices, size_t most_lanes);

}  // namespace tidemark::viewer
