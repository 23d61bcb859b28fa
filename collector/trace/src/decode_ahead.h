// Decodes chunks of allocations on a second thread while their owner does something with the rows
// before: reading a whole trace takes as long as the longer of the two. Owned by one thread, which
// calls everything here; the worker sees only jobs, never the file.
//
//   owner    read bytes 1 2 │ visit rows of 1 │ read bytes 3 │ visit rows of 2 │ …
//   worker                  │ decode 2        │              │ decode 3        │ …
//
// A job that the worker has not begun when its rows are wanted is decoded by the owner: that
// nothing waits for a thread that is busy with another, or that the system did not give.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "host_rows.h"

namespace tidemark::trace {

// One chunk. Its owner keeps it at one place from add() to take().
struct AheadJob {
  std::string data;
  ChunkInfo chunk;
  std::vector<Allocation> rows;
  Result<void> result;
  enum class State : uint8_t { kNone, kWaits, kRuns, kDone } state = State::kNone;  // guarded
};

class DecodeAhead {
 public:
  // What `filter` leaves out is not decoded to rows; it stays as long as this.
  explicit DecodeAhead(const HostFilter& filter);
  ~DecodeAhead();  // jobs that were not taken are dropped
  DecodeAhead(const DecodeAhead&) = delete;
  DecodeAhead& operator=(const DecodeAhead&) = delete;

  void add(AheadJob& job);
  // Waits for it, or does it; `decoder` is the owner's. Then rows or the error are in the job.
  void take(AheadJob& job, ChunkDecoder& decoder);

 private:
  void work();
  void decode(AheadJob& job, ChunkDecoder& decoder) const;

  const HostFilter& filter_;
  std::mutex mutex_;
  std::condition_variable added_, done_;
  std::deque<AheadJob*> waiting_;  // under mutex_
  bool stop_ = false;              // under mutex_
  std::thread worker_;
};

}  // namespace tidemark::trace
