// Sums of the host's allocations (layers os and heap): per process, stack and kind of call, and
// over time, exact to the byte and in memory that is bounded by what lives and by the number of
// stacks, not by what happened. Pure: no clock, no files. One thread.
//
// Rules, those of analyzer/usage.h, so that sums and rows give the same numbers:
//  - at one instant what ends is counted before what begins;
//  - what is not freed ends with its process as far as curves and peaks go, and stays "not freed";
//  - a peak is the first moment at which its value was reached.
//
// Threads are merged by time, but with small disorder; so events wait in a buffer until those that
// could come before them have come. What comes later still is counted late, at the latest time that
// has been summed: totals stay exact, a peak may not be.
//
// What was live at a peak is known without a copy at each new peak: a group keeps what it held at
// the last peak only when it changes for the first time since (`epoch`).
#pragma once

#include <tsl/robin_map.h>

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "envelope.h"
#include "process_state.h"
#include "tidemark/trace/types.h"

namespace tidemark::collector {

class HostAggregate {
 public:
  // `row` as to Writer::add_allocation; `id` names it until its end.
  void begin(trace::AllocationId id, const trace::Allocation& row);
  void end(trace::AllocationId id, int64_t free_ns);
  // Takes the last end back.
  void revive(trace::AllocationId id);
  void end_process(trace::ProcessId process, int64_t end_ns);

  // Sums what is old enough. Call it now and then (it calls itself when the buffer is full).
  void settle();
  // Nothing comes any more: sums all.
  void settle_all();

  // All before that moment is summed.
  [[nodiscard]] int64_t settled_ns() const { return settled_ns_; }
  // As of the last settling.
  [[nodiscard]] std::vector<trace::HostTotal> totals() const;
  [[nodiscard]] std::vector<trace::HostCurvePoint> curves() const;
  [[nodiscard]] uint64_t late_events() const { return late_; }
  // Ends that came back after they had been forgotten.
  [[nodiscard]] uint64_t lost_revivals() const { return lost_revivals_; }

 private:
  static constexpr size_t kLayers = 2;  // os, heap

  struct Sum {
    int64_t bytes = 0;
    int64_t count = 0;
  };
  struct Scope {  // a layer, of one process or of all
    explicit Scope(size_t slots) : curve(slots) {}
    Sum live;
    int64_t peak_bytes = 0;
    uint32_t epoch = 1;
    bool changed = false;
    Envelope curve;
  };
  struct AtPeak {
    Sum sum;
    uint32_t epoch = 0;
  };
  struct Group {
    uint32_t process;  // index
    trace::Layer layer;
    trace::StackId stack;
    trace::StringId api;
    uint64_t allocations = 0;
    uint64_t allocated_bytes = 0;
    uint64_t frees = 0;
    uint64_t freed_bytes = 0;
    uint64_t temporary = 0;
    Sum live;
    int64_t peak_bytes = 0;
    AtPeak at_peak;          // of the layer
    AtPeak at_process_peak;  // of the layer in its process
  };
  struct Process {
    trace::ProcessId id{};
    bool ended = false;
    std::vector<uint32_t> groups;
    std::array<Scope, kLayers> scopes;
  };
  struct Live {
    uint32_t group;
    trace::ThreadId thread;
    uint64_t bytes;
    int64_t alloc_ns;
  };
  // Ends sort before begins of the same instant.
  enum class Kind : uint8_t { kEnd, kEndProcess, kBegin };
  struct Event {
    int64_t time_ns;
    uint64_t bytes;
    uint32_t target;  // a group; of kEndProcess a process
    Kind kind;
  };
  struct Ended {  // for a revival
    trace::AllocationId id;
    Live live;
    int64_t free_ns;
    bool temporary;
  };
  struct Key {
    uint32_t process;
    trace::Layer layer;
    trace::StackId stack;
    trace::StringId api;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const {
      return AddressHash{}(
          static_cast<uint64_t>(key.stack) << 16 ^ static_cast<uint64_t>(key.api) << 4 ^
          static_cast<uint64_t>(key.process) << 40 ^ static_cast<uint64_t>(key.layer));
    }
  };
  struct IdHash {
    size_t operator()(trace::AllocationId id) const {
      return AddressHash{}(static_cast<uint64_t>(id) << 4);
    }
  };

  uint32_t process_index(trace::ProcessId id);
  uint32_t group_of(const trace::Allocation& row);
  void push(const Event& event);
  void settle_until(int64_t time_ns);
  void settle_instant(std::span<const Event> events);
  void apply(const Event& event);
  void end_groups(Process& process);
  void change(Group& group, int64_t bytes, int64_t count);
  void close_instant(Scope& scope, int64_t time_ns);

  std::vector<Process> processes_;
  std::map<trace::ProcessId, uint32_t> process_indexes_;
  std::vector<Group> groups_;
  tsl::robin_map<Key, uint32_t, Hash> group_indexes_;
  tsl::robin_map<trace::AllocationId, Live, IdHash> live_;
  tsl::robin_map<int64_t, trace::AllocationId, AddressHash> last_of_thread_;  // heap
  std::vector<Ended> ended_;  // a ring of the latest
  size_t ended_at_ = 0;
  std::vector<Event> events_;
  std::vector<Scope*> changed_;
  std::array<Scope, kLayers> scopes_{Scope(kSlots), Scope(kSlots)};
  int64_t latest_ns_ = 0;
  int64_t settled_ns_ = INT64_MIN;
  uint64_t late_ = 0;
  uint64_t lost_revivals_ = 0;

  static constexpr size_t kSlots = 4096;
  static constexpr size_t kProcessSlots = 512;
};

}  // namespace tidemark::collector
