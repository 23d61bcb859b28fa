#include "decode_ahead.h"

#include <algorithm>
#include <system_error>

namespace tidemark::trace {

DecodeAhead::DecodeAhead(const HostFilter& filter) : filter_(filter) {
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

void DecodeAhead::take(AheadJob& job, ChunkDecoder& decoder) {
  std::unique_lock lock(mutex_);
  if (job.state == AheadJob::State::kWaits) {
    std::erase(waiting_, &job);
    lock.unlock();
    decode(job, decoder);
    return;
  }
  done_.wait(lock, [&] { return job.state == AheadJob::State::kDone; });
}

void DecodeAhead::decode(AheadJob& job, ChunkDecoder& decoder) const {
  job.rows.clear();
  job.result = decode_allocations(decoder, job.data, job.chunk, filter_, job.rows);
}

void DecodeAhead::work() {
  ChunkDecoder decoder;
  std::unique_lock lock(mutex_);
  for (;;) {
    added_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    AheadJob& job = *waiting_.front();
    waiting_.pop_front();
    job.state = AheadJob::State::kRuns;
    lock.unlock();
    decode(job, decoder);
    lock.lock();
    job.state = AheadJob::State::kDone;
    done_.notify_one();
  }
}

}  // namespace tidemark::trace
