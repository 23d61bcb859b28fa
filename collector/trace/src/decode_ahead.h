// Decodes chunks of allocations on a second thread while their owner does something with the rows
// before: reading a whole trace takes as long as the longer of the two. Owned by one thread, which
// calls everything here; the worker sees only jobs, never the file.
//
//   owner    read bytes 1 2 3 │ decode 1, visit its rows │ read 4 │ decode 3 │ visit 2 │ …
//   worker                    │ decode 2                          │ decode 4           │ …
//
// The owner never waits while there is something to decode: a job that the worker has not begun is
// decoded by the owner, and while the worker is busy with the job that is wanted the owner does the
// next one. So both are busy whether visiting takes longer than decoding or shorter, and nothing
// hangs on a thread that the system did not give.
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
  const void* run = nullptr;  // what the owner tells its jobs apart by
  std::string data;
  ChunkInfo chunk;
  std::vector<Allocation> rows;
  Result<void> result;
  enum class State : uint8_t { kNone, kWaits, kRuns, kDone } state = State::kNone;  // guarded
};

class DecodeAhead {
 public:
  // What `filter` leaves out is not decoded to rows. Both stay as long as this; `decoder` is the
  // owner's.
  DecodeAhead(const HostFilter& filter, ChunkDecoder& decoder);
  ~DecodeAhead();  // jobs that were not taken are dropped
  DecodeAhead(const DecodeAhead&) = delete;
  DecodeAhead& operator=(const DecodeAhead&) = delete;

  void add(AheadJob& job);
  // Does it, or does others until it is done. Then rows or the error are in the job.
  void take(AheadJob& job);

 private:
  void work();
  void decode(AheadJob& job, ChunkDecoder& decoder, std::unique_lock<std::mutex>& lock);

  const HostFilter& filter_;
  ChunkDecoder& decoder_;
  std::mutex mutex_;
  std::condition_variable added_, done_;
  std::deque<AheadJob*> waiting_;  // under mutex_
  bool stop_ = false;              // under mutex_
  std::thread worker_;
};

}  // namespace tidemark::trace
