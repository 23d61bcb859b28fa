// The calls that asked for copies, sets and kernels, until the device has reported them. Pure.
// Bounded: beyond kCapacity the oldest is forgotten, whether or not its record has come.
#pragma once

#include <tsl/robin_map.h>

#include <cstdint>
#include <deque>
#include <vector>

#include "tidemark/trace/types.h"
#include "tidemark/wire/records.h"

namespace tidemark::collector {

struct PendingLaunch {
  uint64_t src_address = 0;
  uint64_t dst_address = 0;
  trace::StackId stack{};
  bool matched = false;
  bool outside = false;                  // of the window: what comes of it is left out
  trace::AllocationId src_allocation{};  // what lived there
  trace::AllocationId dst_allocation{};
  std::vector<trace::AllocationId> touched;  // blocks among the kernel's arguments, each once
};

class LaunchTable {
 public:
  static constexpr size_t kCapacity = 1'000'000;

  // True when a launch without a record had to be forgotten for it.
  bool add(uint32_t correlation, const PendingLaunch& launch);
  // Null when unknown. Stays: the kernels of one graph launch share their correlation id.
  PendingLaunch* match(uint32_t correlation);
  // The same, without taking it for matched.
  PendingLaunch* find(uint32_t correlation);
  [[nodiscard]] uint64_t unmatched() const { return unmatched_; }
  // Blocks of launches whose kernel has not come; of forgotten ones too.
  [[nodiscard]] uint64_t untaken_accesses() const;

 private:
  tsl::robin_map<uint32_t, PendingLaunch> launches_;
  std::deque<uint32_t> oldest_first_;
  uint64_t unmatched_ = 0;
  uint64_t forgotten_accesses_ = 0;
};

}  // namespace tidemark::collector
