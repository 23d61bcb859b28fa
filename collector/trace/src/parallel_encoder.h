// Encodes chunks of allocations on several threads and gives them back in the order in which they
// were added. Owned by one thread, which calls everything here; its workers see only what it gave
// them.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "host_rows.h"

namespace tidemark::trace {

struct EncodedChunk {
  ChunkInfo info;
  std::string data;
};

class ParallelEncoder {
 public:
  explicit ParallelEncoder(int level);
  ~ParallelEncoder();
  ParallelEncoder(const ParallelEncoder&) = delete;
  ParallelEncoder& operator=(const ParallelEncoder&) = delete;

  // At least one row, at most kMaxChunkRows.
  void add(ChunkKind kind, std::vector<Allocation> rows);
  // True when so much waits that the next chunk should be taken before another is added: memory is
  // bounded by it.
  bool is_full() const { return jobs_.size() >= 2 * workers_.size() + 1; }
  // The oldest chunk, waited for; false when none is left. Its rows' memory is used again.
  bool take(EncodedChunk& chunk);
  // Empty, with the memory of rows that have been encoded.
  std::vector<Allocation> recycled();

 private:
  struct Job {
    ChunkKind kind{};
    std::vector<Allocation> rows;
    EncodedChunk chunk;
    bool done = false;  // under mutex_
  };
  void work();
  static void encode(ChunkEncoder& encoder, Job& job);

  int level_;
  ChunkEncoder own_;  // when no thread could be started
  std::mutex mutex_;
  std::condition_variable added_, done_;
  std::deque<Job*> waiting_;  // under mutex_
  bool stop_ = false;         // under mutex_
  std::deque<std::unique_ptr<Job>> jobs_;
  std::vector<std::vector<Allocation>> spare_;
  std::vector<std::thread> workers_;
};

}  // namespace tidemark::trace
