#include "decode_ahead.h"

#include <algorithm>
#include <system_error>

namespace tidemark::trace {

DecodeAhead::DecodeAhead(const HostFilter& filter, ChunkDecoder& decoder)
    : filter_(filter), decoder_(decoder) {
  if (std::thread::hardware_concurrency() == 1) return;
  try {
    worker_ = std::thread([this] { work(); });
  } catch (const std::system_error&) {
    // No thread to be had: the owner decodes each job when it takes it.
  }
}

DecodeAhead::~DecodeAhead() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    waiting_.clear();
  }
  added_.notify_one();
  if (worker_.joinable()) worker_.join();
}

void DecodeAhead::add(AheadJob& job) {
  {
    const std::lock_guard lock(mutex_);
    job.state = AheadJob::State::kWaits;
    waiting_.push_back(&job);
  }
  added_.notify_one();
}

// Takes the job out of those that wait; called and left with the lock held.
void DecodeAhead::decode(AheadJob& job, ChunkDecoder& decoder, std::unique_lock<std::mutex>& lock) {
  std::erase(waiting_, &job);
  job.state = AheadJob::State::kRuns;
  lock.unlock();
  job.rows.clear();
  job.result = decode_allocations(decoder, job.data, job.chunk, filter_, job.rows);
  lock.lock();
  job.state = AheadJob::State::kDone;
}

void DecodeAhead::take(AheadJob& job) {
  std::unique_lock lock(mutex_);
  while (job.state != AheadJob::State::kDone) {
    if (job.state == AheadJob::State::kWaits) {
      decode(job, decoder_, lock);
    } else if (!waiting_.empty()) {
      decode(*waiting_.front(), decoder_, lock);
    } else {
      done_.wait(lock);
    }
  }
}

void DecodeAhead::work() {
  ChunkDecoder decoder;
  std::unique_lock lock(mutex_);
  for (;;) {
    added_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    decode(*waiting_.front(), decoder, lock);
    done_.notify_one();
  }
}

}  // namespace tidemark::trace
