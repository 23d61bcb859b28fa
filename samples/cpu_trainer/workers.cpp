#include "workers.h"

#include <pthread.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace cpu_trainer {
namespace {

class WorkerPool {
 public:
  explicit WorkerPool(size_t threads) : parts_(threads) {
    for (size_t part = 1; part < threads; ++part) {
      threads_.emplace_back([this, part] { serve(part); });
    }
  }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    start_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void run(size_t count, const std::function<void(size_t)>& body) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      body_ = &body;
      count_ = count;
      unfinished_ = threads_.size();
      ++round_;
    }
    start_.notify_all();
    run_part(0, count, body);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return unfinished_ == 0; });
  }

 private:
  void run_part(size_t part, size_t count, const std::function<void(size_t)>& body) const {
    const size_t end = count * (part + 1) / parts_;
    for (size_t i = count * part / parts_; i < end; ++i) body(i);
  }

  void serve(size_t part) {
    pthread_setname_np(pthread_self(), ("worker_" + std::to_string(part)).c_str());
    size_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      start_.wait(lock, [&] { return stopping_ || round_ != seen; });
      if (stopping_) return;
      seen = round_;
      const std::function<void(size_t)>& body = *body_;
      const size_t count = count_;
      lock.unlock();
      run_part(part, count, body);
      lock.lock();
      if (--unfinished_ == 0) done_.notify_one();
    }
  }

  size_t parts_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
  const std::function<void(size_t)>* body_ = nullptr;
  size_t count_ = 0;
  size_t round_ = 0;
  size_t unfinished_ = 0;
  bool stopping_ = false;
};

std::unique_ptr<WorkerPool>& pool() {
  static std::unique_ptr<WorkerPool> instance;
  return instance;
}

}  // namespace

void set_worker_count(size_t threads) {
  pool() = threads > 1 ? std::make_unique<WorkerPool>(threads) : nullptr;
}

void stop_workers() { pool().reset(); }

void parallel_for(size_t count, const std::function<void(size_t)>& body) {
  if (pool() != nullptr) {
    pool()->run(count, body);
    return;
  }
  for (size_t i = 0; i < count; ++i) body(i);
}

}  // namespace cpu_trainer
