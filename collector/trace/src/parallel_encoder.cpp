#include "parallel_encoder.h"

#include <algorithm>
#include <system_error>

namespace tidemark::trace {
namespace {

constexpr unsigned kMaxThreads = 8;

}  // namespace

ParallelEncoder::ParallelEncoder(int level) : level_(level), own_(level) {
  const unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads);
  try {
    for (unsigned i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {
    // A limit of threads: those that there are do it, or none.
  }
}

ParallelEncoder::~ParallelEncoder() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  added_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ParallelEncoder::encode(ChunkEncoder& encoder, Job& job) {
  job.chunk.data = encode_allocations(encoder, job.kind, job.rows, job.chunk.info);
}

void ParallelEncoder::work() {
  ChunkEncoder encoder(level_);
  std::unique_lock lock(mutex_);
  for (;;) {
    added_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    Job& job = *waiting_.front();
    waiting_.pop_front();
    lock.unlock();
    encode(encoder, job);
    lock.lock();
    job.done = true;
    done_.notify_one();
  }
}

void ParallelEncoder::add(ChunkKind kind, std::vector<Allocation> rows) {
  Job& job = *jobs_.emplace_back(std::make_unique<Job>());
  job.kind = kind;
  job.rows = std::move(rows);
  if (workers_.empty()) {
    encode(own_, job);
    job.done = true;
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(&job);
  }
  added_.notify_one();
}

bool ParallelEncoder::take(EncodedChunk& chunk) {
  if (jobs_.empty()) return false;
  Job& job = *jobs_.front();
  {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return job.done; });
  }
  chunk = std::move(job.chunk);
  job.rows.clear();
  spare_.push_back(std::move(job.rows));
  jobs_.pop_front();
  return true;
}

std::vector<Allocation> ParallelEncoder::recycled() {
  if (spare_.empty()) return {};
  std::vector<Allocation> rows = std::move(spare_.back());
  spare_.pop_back();
  return rows;
}

}  // namespace tidemark::trace
