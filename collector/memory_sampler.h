// Watches the memory of the recorded processes from outside, through /proc, on a thread of its own:
// reading smaps of a large process takes longer than rings can wait. Costs less than half a percent
// of one core, plus an eighth of a second once.
//
// watch(), take() and stop() are called from one thread, the collector's. Owns its thread; the
// destructor stops it.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "losses.h"
#include "memory_schedule.h"
#include "proc_memory.h"
#include "tidemark/trace/writer.h"

namespace tidemark::collector {

class MemorySampler {
 public:
  MemorySampler();
  ~MemorySampler();
  MemorySampler(const MemorySampler&) = delete;
  MemorySampler& operator=(const MemorySampler&) = delete;

  // From now until it ends. An image of the same pid that was watched before has ended (exec).
  void watch(trace::ProcessId process, int32_t pid);
  // Writes what was seen since the last call. `zero_ns`: the recording's zero.
  void take(uint64_t zero_ns, trace::Writer& writer, Losses& losses);
  // Sees nothing more; what was seen can still be taken.
  void stop();

 private:
  struct Watched {
    trace::ProcessId process{};
    uint64_t start_time = 0;  // 0: not looked at yet
    MemorySchedule schedule;
    int64_t snapshot_ns = 0;
    bool has_unsaid = false;
    trace::ProcessMemory unsaid;  // the last sample, not worth a row until it is the last for good
  };
  struct News {
    trace::ProcessMemory sample;
    std::vector<MappedPiece> pieces;
    bool has_sample = false;
    bool drops = false;
    int64_t dropped_ns = 0;
  };

  void run();
  // False: it has ended, or is none of ours.
  bool look(int32_t pid, Watched& watched);
  void look_closer(int32_t pid, Watched& watched, trace::ProcessMemory& sample, News& news);
  void tell(News news);
  void tell_unsaid(Watched& watched);

  std::mutex mutex_;  // guards all down to the empty line
  std::condition_variable wake_;
  std::vector<std::pair<trace::ProcessId, int32_t>> arrivals_;
  std::vector<News> news_;
  uint64_t foreign_ = 0;
  uint64_t unreadable_ = 0;
  bool stopping_ = false;

  // The thread's own.
  std::map<int32_t, Watched> watched_;  // by pid
  CostBudget quick_;
  CostBudget thorough_;
  std::string path_, text_;
  int64_t page_bytes_;

  std::thread thread_;
};

}  // namespace tidemark::collector
