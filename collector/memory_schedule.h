// When to ask the system about a process's memory, and what. Pure: the clock is an argument. Not
// shared between threads. Times: nanoseconds of any one clock. Sizes: bytes.
//
// What asking costs (an idle machine; kernel 6.1 and later): stat 7 µs, status 15 µs, and smaps
// about 15 ms for a process of 1700 mappings or for each gigabyte in small pages, during which the
// process waits when it maps memory. So stat is asked all the time, status once a second and at new
// peaks, smaps near peaks and ever more rarely, and a budget stands above all.
#pragma once

#include <cstdint>

#include "tidemark/trace/types.h"

namespace tidemark::collector {

// Lets work be done while its cost stays below a share of the time that passed. It is asked before,
// told after: one piece of work may overdraw it, and is paid off before the next.
class CostBudget {
 public:
  CostBudget(double share, int64_t credit_ns, int64_t most_ns, int64_t now_ns)
      : share_(share), most_ns_(most_ns), credit_ns_(credit_ns), since_ns_(now_ns) {}
  bool allows(int64_t now_ns);
  void spend(int64_t cost_ns) { credit_ns_ -= cost_ns; }

 private:
  double share_;
  int64_t most_ns_;
  int64_t credit_ns_;
  int64_t since_ns_;
};

// Of one process.
class MemorySchedule {
 public:
  explicit MemorySchedule(int64_t now_ns) : start_ns_(now_ns), next_ns_(now_ns) {}

  [[nodiscard]] int64_t next_ns() const { return next_ns_; }
  struct Wish {
    bool status = false;
    bool mappings = false;
  };
  // After a look at stat: what else is worth asking now.
  Wish look(int64_t now_ns, int64_t rss_bytes);
  void asked_status(int64_t now_ns, int64_t rss_bytes);
  // Returns whether the snapshot before is worth less than this one and may go.
  bool asked_mappings(int64_t now_ns, int64_t rss_bytes);
  // Whether this sample says what the last written one did not.
  bool worth_a_row(const trace::ProcessMemory& sample);

 private:
  int64_t start_ns_;
  int64_t next_ns_;
  int64_t last_rss_bytes_ = 0;
  int64_t status_ns_ = INT64_MIN;
  int64_t status_rss_bytes_ = 0;
  int64_t mapped_rss_bytes_ = 0;  // at the largest snapshot
  int64_t mapped_ns_ = INT64_MIN;
  bool before_is_periodic_ = true;
  bool has_row_ = false;
  trace::ProcessMemory row_;
};

}  // namespace tidemark::collector
