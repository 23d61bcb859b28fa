// One trace that is shown: its loader, what was loaded so far, the view, the workers and the
// panels. Main thread.
#pragma once

#include <memory>
#include <optional>

#include "app.h"
#include "tidemark/viewer/loader.h"

namespace tidemark::viewer {

class Session {
 public:
  // Starts to load. `wake`: called from other threads when something is new.
  Session(const Options& options, std::function<void()> wake);

  // One frame. Errors: what the trace's Reader says.
  [[nodiscard]] Result<void> draw(const Fonts& fonts);
  // Until all is loaded and every question is answered.
  void wait();
  // Something runs that could take long to end.
  bool busy() const;

  Theme theme() const { return state_ ? state_->theme : theme_; }
  Workspace& workspace() { return workspace_; }
  // Null until there is a first picture.
  ViewState* state() { return state_ ? &*state_ : nullptr; }
  // As of the last frame, and as of now.
  const Loaded& loaded() const { return loaded_; }
  Loaded loaded_now() const { return loader_->loaded(); }
  const std::string& path() const { return path_; }
  // What is live as a file beside the trace's name in the current folder; a line for the user.
  std::string export_live();
  // A line for the user in place of the hints.
  void notice(std::string text) { notice_ = std::move(text); }

 private:
  void take_pieces();

  const std::string path_;
  Theme theme_;
  std::function<void()> wake_;
  Loaded loaded_;
  std::optional<ViewState> state_;
  int64_t first_cursor_ns_ = 0;  // where it was put, not by the user
  std::shared_ptr<const Comparison> comparison_;
  Workspace workspace_;
  std::string notice_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<Loader> other_;  // of the trace to compare with
  std::unique_ptr<LiveWorker> live_;
  std::unique_ptr<Questions> questions_;
};

}  // namespace tidemark::viewer
