// The collector's end of the shared memory of tidemark/wire/layout.h: creates it, finds the slots
// that targets have claimed, and gives slots and their memory back. Owns the descriptor and the
// mapping. One thread.
//
// A slot is found by asking the kernel which pages of the memory file exist (SEEK_DATA), not by
// reading 4096 headers: reading a hole would fill it, and headers that lie 516 KiB apart share
// cache sets, so that a scan of all would cost more than the events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tidemark/trace/result.h"
#include "tidemark/wire/layout.h"

namespace tidemark::collector {

struct ArenaOptions {
  wire::Stacks stacks = wire::Stacks::kAll;
  wire::OnFull on_full = wire::OnFull::kWait;
  wire::Host record_host = wire::Host::kAll;
  wire::Device record_device = wire::Device::kAll;
  bool record_access = true;
  wire::Clock clock = wire::Clock::kMonotonicNs;
};

class Arena {
 public:
  // Errors: no memory file to be had (kernel without memfd_create, address-space limit).
  [[nodiscard]] static Result<Arena> create(const ArenaOptions& options);
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&&) = delete;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  // The value of wire::kArenaVariable for targets.
  [[nodiscard]] std::string environment_value() const;
  [[nodiscard]] wire::ArenaHeader& header() const;
  [[nodiscard]] wire::RingHeader& ring(uint32_t slot) const;
  [[nodiscard]] const std::byte* ring_data(uint32_t slot) const;

  // Every slot whose header page exists, ascending; complete for all that was claimed before the
  // call, which is what collector/merge relies on.
  std::span<const uint32_t> touched_slots();

  // Makes a drained slot claimable again and returns its pages to the system.
  void free_slot(uint32_t slot);

  // Sleeps until a target rings the bell, `timeout_ns` has passed, or a signal arrives. `seen` is
  // the bell's value before the last drain.
  void wait_doorbell(uint32_t seen, int64_t timeout_ns) const;
  // Tells targets that nobody drains any more, and wakes those that wait for room.
  void close_to_targets();

 private:
  Arena(int descriptor, std::byte* memory) : descriptor_(descriptor), memory_(memory) {}
  int descriptor_;
  std::byte* memory_;
  std::vector<uint32_t> touched_;
  std::vector<bool> is_touched_;
};

// Both wait on memory that other processes map.
void futex_wake_all(std::atomic<uint32_t>& word);

}  // namespace tidemark::collector
