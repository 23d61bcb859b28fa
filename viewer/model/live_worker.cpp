#include "tidemark/viewer/live_worker.h"

#include <utility>

#include "tidemark/analyzer/text.h"
#include "tidemark/viewer/details.h"

namespace tidemark::viewer {

LiveWorker::LiveWorker(Open open, Query query, std::function<void()> on_answer)
    : open_(std::move(open)),
      query_(std::move(query)),
      on_answer_(std::move(on_answer)),
      thread_([this] { run(); }) {}

LiveWorker::~LiveWorker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void LiveWorker::request(const analyzer::Series& series, int64_t time_ns) {
  const Question question{series, time_ns};
  {
    const std::lock_guard lock(mutex_);
    if (asked_ == question) return;
    asked_ = question;
  }
  changed_.notify_all();
}

std::shared_ptr<const LiveAnswer> LiveWorker::latest() const {
  const std::lock_guard lock(mutex_);
  return latest_;
}

bool LiveWorker::busy() const {
  const std::lock_guard lock(mutex_);
  return asked_ != answered_;
}

void LiveWorker::wait() const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return asked_ == answered_; });
}

bool LiveWorker::overtaken(const Question& question) const {
  const std::lock_guard lock(mutex_);
  return stop_ || asked_ != question;
}

void LiveWorker::run() {
  while (true) {
    Question question;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || asked_ != answered_; });
      if (stop_) return;
      question = *asked_;
    }
    std::shared_ptr<const LiveAnswer> fresh = answer(question);
    if (fresh == nullptr) continue;
    {
      // An answer that was overtaken at the last moment is still shown: dragging the cursor then
      // shows intermediate tables instead of none.
      const std::lock_guard lock(mutex_);
      latest_ = std::move(fresh);
      answered_ = question;
    }
    changed_.notify_all();
    if (on_answer_) on_answer_();
  }
}

std::shared_ptr<const LiveAnswer> LiveWorker::answer(const Question& question) {
  auto fresh = std::make_shared<LiveAnswer>();
  fresh->series = question.series;
  fresh->time_ns = question.time_ns;
  if (reader_ == nullptr) {
    auto reader = open_();
    if (!reader) {
      fresh->error = reader.error().message;
      return fresh;
    }
    reader_ = std::move(*reader);
  }
  const auto set = query_(*reader_, question.series, question.time_ns);
  if (!set) {
    fresh->error = set.error().message;
    return fresh;
  }
  fresh->bytes = set->bytes;
  fresh->count = set->count;
  fresh->rows.reserve(set->groups.size());
  for (const analyzer::LiveGroup& group : set->groups) {
    if (overtaken(question)) return nullptr;
    LiveRow row{group.stack, analyzer::printable(reader_->text(group.api)),
                group.bytes, group.count,
                0.0,         text_of(group.stack)};
    if (set->bytes > 0) {
      row.share = static_cast<double>(group.bytes) / static_cast<double>(set->bytes);
    }
    fresh->rows.push_back(std::move(row));
  }
  return fresh;
}

std::shared_ptr<const StackText> LiveWorker::text_of(trace::StackId stack) {
  auto& slot = texts_[stack];
  if (slot == nullptr) slot = read_stack(*reader_, stack);
  return slot;
}

}  // namespace tidemark::viewer
