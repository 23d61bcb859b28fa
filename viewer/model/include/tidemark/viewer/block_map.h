// The address map over time: every lifetime of one series as a bar, from its allocation to its
// free, at its place among the addresses that the series ever used. Which bars a picture shows is
// found without walking all of them: bars lie in classes by how long they lived, each class in
// order of time, and of what falls into the picture the largest are taken first.
//
// Immutable after building; any thread may ask. Times: ns since the recording began. Sizes: bytes.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tidemark/analyzer/usage.h"
#include "tidemark/viewer/max_tree.h"

namespace tidemark::viewer {

struct Bar {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;  // later than begin_ns
  uint64_t bytes = 0;
  uint64_t offset = 0;  // of its lowest byte among the addresses ever used
  uint64_t packed = 0;  // the same where blocks are packed by size, whatever their addresses
  trace::AllocationId id{};
};

// Before addresses are made to offsets.
struct Lifetime {
  trace::AllocationId id{};
  trace::ProcessId process{};
  uint64_t address = 0;
  uint64_t bytes = 0;
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
};

class BlockMap {
 public:
  BlockMap() = default;
  // Those without bytes or duration are left out. `unseen`: lifetimes that were too many to keep,
  // none of them larger than `unseen_up_to` bytes.
  BlockMap(const analyzer::Series& series, std::vector<Lifetime> lifetimes, uint64_t unseen = 0,
           uint64_t unseen_up_to = 0);

  const analyzer::Series& series() const { return series_; }
  // The sum of all address ranges that were ever used.
  uint64_t height_bytes() const { return height_; }
  // Of the bars packed by size: lanes of one size each, the largest lowest, in each lane one after
  // the other. As many lanes of a size as were live at once.
  uint64_t packed_bytes() const { return packed_height_; }
  size_t size() const { return bars_.size(); }
  uint64_t unseen() const { return unseen_; }
  uint64_t unseen_up_to() const { return unseen_up_to_; }

  // The bars that live at some time in [begin_ns, end_ns): all, or the `limit` largest of them.
  // Returns false where some were left out.
  bool query(int64_t begin_ns, int64_t end_ns, size_t limit, std::vector<Bar>* out) const;
  // Null: no such block is kept. Walks all.
  const Bar* find(trace::AllocationId id) const;
  // The same of one that was born then; walks nothing.
  const Bar* find(trace::AllocationId id, int64_t begin_ns) const;
  // The next one born after `bar`, or before it; null: there is none. Walks all.
  const Bar* neighbour(const Bar& bar, bool forward) const;

 private:
  struct Run {
    size_t first = 0;
    size_t last = 0;
  };
  // Of one class, what may live in the span: a little more than does.
  Run candidates(size_t klass, int64_t begin_ns, int64_t end_ns) const;

  static constexpr size_t kClasses = 64;  // by floor(log2(duration))
  analyzer::Series series_;
  uint64_t height_ = 0;
  uint64_t packed_height_ = 0;
  uint64_t unseen_ = 0;
  uint64_t unseen_up_to_ = 0;
  std::vector<Bar> bars_;                      // by class, then by begin
  std::array<size_t, kClasses + 1> starts_{};  // of each class in bars_
  MaxTree sizes_;
};

}  // namespace tidemark::viewer
