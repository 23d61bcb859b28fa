// Answers "what was live then?" on a thread of its own, with a Reader of its own, so that drawing
// never waits for it. Only the newest question counts: one that was overtaken is dropped.
//
// request(), latest(), busy() and wait() are for the thread that draws. `on_answer` is called from
// the worker's thread after each answer; it may only wake the drawing thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>

#include "tidemark/viewer/live_table.h"

namespace tidemark::viewer {

class LiveWorker {
 public:
  using Open = std::function<Result<std::unique_ptr<trace::Reader>>()>;
  using Query = std::function<Result<analyzer::LiveSet>(const trace::Reader&,
                                                        const analyzer::Series&, int64_t)>;

  // `open` runs on the worker's thread at the first question.
  LiveWorker(Open open, Query query, std::function<void()> on_answer = {});
  // Waits for the question at hand.
  ~LiveWorker();
  LiveWorker(const LiveWorker&) = delete;
  LiveWorker& operator=(const LiveWorker&) = delete;

  // Does nothing when this is what was asked last.
  void request(const analyzer::Series& series, int64_t time_ns);
  std::shared_ptr<const LiveAnswer> latest() const;  // null before the first answer
  bool busy() const;
  // Until the newest question is answered.
  void wait() const;

 private:
  struct Question {
    analyzer::Series series;
    int64_t time_ns = 0;
    bool operator==(const Question&) const = default;
  };

  void run();
  bool overtaken(const Question& question) const;
  // Null when overtaken.
  std::shared_ptr<const LiveAnswer> answer(const Question& question);
  std::shared_ptr<const StackText> text_of(trace::StackId stack);

  const Open open_;
  const Query query_;
  const std::function<void()> on_answer_;

  // The worker's thread only.
  std::unique_ptr<trace::Reader> reader_;
  std::unordered_map<trace::StackId, std::shared_ptr<const StackText>> texts_;

  mutable std::mutex mutex_;  // guards what follows
  mutable std::condition_variable changed_;
  std::optional<Question> asked_;
  std::optional<Question> answered_;
  std::shared_ptr<const LiveAnswer> latest_;
  bool stop_ = false;

  std::thread thread_;  // last: starts when all else is there
};

}  // namespace tidemark::viewer
