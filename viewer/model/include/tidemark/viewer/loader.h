// Loads a trace on a thread of its own, piece by piece, so that the first picture is there before
// the whole trace is: of large ones a part of the usage, then all of it, then what streams did and
// every block, then what the analysis finds. Pieces are immutable and shared; each is there or not
// yet.
//
// loaded(), progress() and wait() are for the thread that draws; `on_piece` is called from the
// loading thread and may only wake the drawing thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "tidemark/viewer/activity.h"
#include "tidemark/viewer/document.h"
#include "tidemark/viewer/insight.h"

namespace tidemark::viewer {

struct Loaded {
  std::shared_ptr<const Document> document;
  std::shared_ptr<const Activity> activity;
  std::shared_ptr<const Insight> insight;
  std::string error;     // not "": loading ended there, and why
  bool partial = false;  // the document is a first picture: not all series, or not all of the time
  std::string working;   // "reading every block"; "" when all is there
};

class Loader {
 public:
  using Open = std::function<Result<std::unique_ptr<trace::Reader>>()>;
  enum class Depth : uint8_t { kUsage, kAll };
  explicit Loader(Open open, std::function<void()> on_piece = {}, Depth depth = Depth::kAll);
  // Waits until the loading thread has noticed; that is between two pieces at the latest.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  Loaded loaded() const;
  void wait() const;  // until all is there, or loading failed

 private:
  void run();
  void publish(const std::function<void(Loaded*)>& change);

  const Open open_;
  const std::function<void()> on_piece_;
  const Depth depth_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;  // guards loaded_
  mutable std::condition_variable changed_;
  Loaded loaded_{{}, {}, {}, {}, false, "opening"};
  std::thread thread_;  // last
};

}  // namespace tidemark::viewer
