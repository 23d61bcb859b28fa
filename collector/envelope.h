// A curve of live bytes over a time of any length in bounded memory, whose maxima stay exact: time
// is cut into slots of one width, each keeps its largest and its last value; when the slots are
// used up, pairs of them become one. Pure, not shared between threads.
//
//     bytes      .                      slots of width 4:  [max 3 @2, last 2 @3] [max 5 @6, last 1
//     @7]
//       5              #                one of width 8:    [max 5 @6, last 1 @7]
//       3    # #     # #
//       1  # # # #   # # #
//          0 1 2 3   5 6 7  time
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tidemark::collector {

class Envelope {
 public:
  struct Value {
    int64_t time_ns = 0;
    int64_t bytes = 0;
    int64_t count = 0;
  };
  explicit Envelope(size_t most_slots) : most_slots_(most_slots) {}

  // The value from `time_ns` on. Times must not go back.
  void add(const Value& value);
  // Ascending in time; one or two for each slot in which the curve changed. The value before the
  // first point is 0.
  [[nodiscard]] std::vector<Value> points() const;

 private:
  struct Slot {
    int64_t index;
    Value most;  // the first of the largest
    Value last;
  };
  void halve();

  size_t most_slots_;
  int64_t width_ns_ = 1'000'000;
  std::vector<Slot> slots_;  // ascending by index
};

}  // namespace tidemark::collector
