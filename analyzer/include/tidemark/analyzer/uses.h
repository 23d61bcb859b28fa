// Every use of every block by what the device did: kernels that were handed it, copies from and to
// it, sets. By block, and in order of time.
//
//   events, by start     memset   kernel   kernel   copy   kernel
//   uses of block 7        0                 2        3             first 0, last 3
//   uses of block 9                 1        2               4
//
// An index over a whole trace: 4 bytes a use, 32 bytes an event, and twice the first while it is
// built. Immutable; reading is safe from any thread. Times: nanoseconds since the recording began,
// as the device started.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "tidemark/trace/reader.h"

namespace tidemark::analyzer {

enum class UseKind : uint8_t { kKernel, kCopyFrom, kCopyTo, kSet };

struct Use {
  int64_t start_ns = 0;
  UseKind kind{};
  int64_t id = 0;  // of the kernel, transfer or memset
  int64_t end_ns = 0;
  bool operator==(const Use&) const = default;
};

class UseIndex {
 public:
  // Fails with the reader, and where a trace has more than 2^32 events or uses of one kind.
  [[nodiscard]] static Result<UseIndex> build(const trace::Reader& reader);

  // In order of time; empty for what nothing used. A copy within a block is two uses.
  [[nodiscard]] size_t count(trace::AllocationId block) const { return uses_of(block).size(); }
  [[nodiscard]] Use use(trace::AllocationId block, size_t i) const {
    return events_[uses_of(block)[i]];
  }
  // Only of a block that is used.
  [[nodiscard]] Use first(trace::AllocationId block) const { return use(block, 0); }
  [[nodiscard]] Use last(trace::AllocationId block) const { return use(block, count(block) - 1); }

  // The blocks that are used, ascending.
  [[nodiscard]] std::span<const trace::AllocationId> blocks() const { return blocks_; }
  [[nodiscard]] size_t uses() const { return events_of_uses_.size(); }
  // All uses in order of time.
  void each(const std::function<void(trace::AllocationId, const Use&)>& visit) const;

 private:
  std::span<const uint32_t> uses_of(trace::AllocationId block) const;

  std::vector<Use> events_;                  // by start; a copy is two, from and to
  std::vector<trace::AllocationId> blocks_;  // ascending
  std::vector<uint64_t> first_use_;          // of each block, in the next; one more at the end
  std::vector<uint32_t> events_of_uses_;     // by block, each ascending
};

}  // namespace tidemark::analyzer
