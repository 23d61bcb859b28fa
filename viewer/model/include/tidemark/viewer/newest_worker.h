// Answers questions on a thread of its own, so that drawing never waits. Only the newest question
// counts: of those that come while one is being answered the last is answered next.
//
// request(), latest(), busy() and wait() are for the thread that draws. `answer` and `on_answer`
// run on the worker's thread; `on_answer` may only wake the drawing thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace tidemark::viewer {

template <class Question, class Answer>
class NewestWorker {
 public:
  using Work = std::function<Answer(const Question&)>;
  explicit NewestWorker(Work work, std::function<void()> on_answer = {})
      : work_(std::move(work)), on_answer_(std::move(on_answer)), thread_([this] { run(); }) {}
  // Waits for the question at hand.
  ~NewestWorker() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  NewestWorker(const NewestWorker&) = delete;
  NewestWorker& operator=(const NewestWorker&) = delete;

  // Does nothing when this is what was asked last.
  void request(const Question& question) {
    {
      const std::lock_guard lock(mutex_);
      if (asked_ == question) return;
      asked_ = question;
    }
    changed_.notify_all();
  }
  // What was asked last and its answer; null before the first.
  struct Answered {
    Question question;
    Answer answer;
  };
  std::shared_ptr<const Answered> latest() const {
    const std::lock_guard lock(mutex_);
    return latest_;
  }
  bool busy() const {
    const std::lock_guard lock(mutex_);
    return asked_ != answered_;
  }
  void wait() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return asked_ == answered_; });
  }

 private:
  void run() {
    while (true) {
      std::optional<Question> question;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stop_ || asked_ != answered_; });
        if (stop_) return;
        question = asked_;
      }
      auto fresh = std::make_shared<const Answered>(Answered{*question, work_(*question)});
      {
        const std::lock_guard lock(mutex_);
        latest_ = std::move(fresh);
        answered_ = std::move(question);
      }
      changed_.notify_all();
      if (on_answer_) on_answer_();
    }
  }

  const Work work_;
  const std::function<void()> on_answer_;
  mutable std::mutex mutex_;  // guards what follows
  mutable std::condition_variable changed_;
  std::optional<Question> asked_;
  std::optional<Question> answered_;
  std::shared_ptr<const Answered> latest_;
  bool stop_ = false;
  std::thread thread_;  // last: starts when all else is there
};

}  // namespace tidemark::viewer
