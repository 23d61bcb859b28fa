// Puts the records of all rings into one order in which, for every address, each allocation comes
// before its free and each free before the next allocation. Pure: no clock, no shared memory.
//
// Why the order holds. Producers stamp an allocation after the real call and publish it before the
// program sees the address; they stamp and publish a free before the real call. Say event Y is
// caused by event X (Y frees what X allocated, or reuses the address that X freed). Then
//     stamp(X) <= publish(X) < stamp(Y) <= publish(Y).
// A pass reads the clock first (`now`) and drains every ring afterwards. If the drain of X's ring
// came too early to see X, then publish(X) > now, hence stamp(Y) > now: Y is held back until the
// next pass, which sees X. If it did see X, both are at hand and the stamps order them.
//
//     time ->      1    2    3    4 now    5    6
//     ring A       alloc p@1 ........................ drained just after now
//     ring B            free p@2 .................... drained next: sees free p@2
//     ring A                       |  alloc p@5       published after A was drained: not seen
//     ring C                       |      free p@6    published before C was drained: seen, but
//                                  |                  6 > now, so it waits for alloc p@5
//     this pass delivers  alloc p@1, free p@2;  the next  alloc p@5, free p@6
//
// Two things are not ordered by time. Definitions (stacks, names, modules, processes) are delivered
// first, since an event may only refer to what was published before it. What the device did arrives
// long after its stamp, refers to no live block, and is delivered last, so that the launch that it
// belongs to is known.
//
// Within one ring the order of publishing is kept even where stamps go back: an Undo stays behind
// its Free. A stamp that is still in the future one pass later is impossible (it was published
// before that pass); it is delivered then, and counted.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "losses.h"
#include "ring_reader.h"

namespace tidemark::collector {

struct Producer;  // what pairing keeps per ring

struct Lane {
  RingReader reader;
  Producer* producer = nullptr;
  uint32_t held_passes = 0;  // since its process is unknown
  size_t cursor = 0;         // within a pass
  bool stopped = false;      // within a pass: the sink refused an event
};

// An event in its place in the order.
struct OrderedEvent {
  Lane* lane;
  const wire::Header* record;
  size_t offset;  // in the lane's queue
  bool refused;
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void begin_pass(uint64_t now_ns) = 0;
  // Whether a lane's process has introduced itself. Until then its records wait, but not for long.
  virtual bool knows_process(const Producer& producer) const = 0;
  virtual void definition(Producer& producer, const wire::Header& record) = 0;
  // In order; several at once, so that the sink can look ahead. Those that it marks as refused, and
  // what lies behind them in their lanes, come again with the next pass: once it has refused an
  // event of a lane, it must refuse the lane's later ones of this pass.
  virtual void events(std::span<OrderedEvent> batch) = 0;
  virtual void activity(Producer& producer, const wire::Header& record) = 0;
  virtual void end_pass() = 0;
};

class Merge {
 public:
  // `meanwhile` is called between events, at least once in kBatchEvents of them: whoever has rings
  // to empty can do so without waiting for the end of a pass. It must not touch queues.
  explicit Merge(std::function<void()> meanwhile = {}) : meanwhile_(std::move(meanwhile)) {}

  // `now_ns` was read before the lanes were drained. `margin_ns`: by how much stamps may be early
  // (wire::kMaxEarlyNs); so much more is held back. Returns the number of records delivered.
  uint64_t pass(std::span<Lane* const> lanes, uint64_t now_ns, uint64_t margin_ns, EventSink& sink,
                Losses& losses);

 private:
  // Enough for the misses of the cache to overlap, few enough to stay in it.
  static constexpr size_t kBatchEvents = 64;
  struct Next {
    uint64_t time_ns;
    uint32_t lane;
    bool operator<(const Next& other) const {
      return time_ns != other.time_ns ? time_ns < other.time_ns : lane < other.lane;
    }
  };
  void select_lanes(std::span<Lane* const> lanes, EventSink& sink, Losses& losses);
  void deliver_definitions(EventSink& sink);
  void deliver_events(EventSink& sink, Losses& losses);
  void deliver_batch(EventSink& sink);
  void sift_down(size_t at);  // in heap_
  void deliver_activities(EventSink& sink);
  // Moves the cursor to the next event at or behind it; false: none, or it is held back.
  bool find_event(Lane& lane, Losses& losses, uint64_t& time_ns);

  std::function<void()> meanwhile_;
  std::vector<Lane*> lanes_;
  std::vector<Next> heap_;  // the lanes that have an event, the earliest first
  std::vector<OrderedEvent> batch_;
  uint64_t delivered_ = 0;
  uint64_t horizon_ns_ = 0;     // later than this waits for the next pass
  uint64_t impossible_ns_ = 0;  // later than this cannot have been there a pass ago
};

}  // namespace tidemark::collector
