// One trace that is shown: its loader, what was loaded so far, the view, the workers and the
// panels. Main thread.
#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "app.h"
#include "tidemark/viewer/differences.h"
#include "tidemark/viewer/growth.h"
#include "tidemark/viewer/loader.h"
#include "tidemark/viewer/settings.h"

namespace tidemark::viewer {

// "gpt2.db.live.1.csv": in the current folder, after the trace, of no file that is there.
std::string free_name(const std::string& trace, const std::string& what, const char* ending);

class Session {
 public:
  // Starts to load. `wake`: called from other threads when something is new.
  Session(const Options& options, std::function<void()> wake);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // One frame. Errors: what the trace's Reader says.
  [[nodiscard]] Result<void> draw(const Fonts& fonts);
  // Until all is loaded and every question is answered.
  void wait();
  // Something runs that could take long to end.
  bool busy() const;

  Theme theme() const { return state_ ? state_->theme : layout_.theme; }
  // How it looks: what is remembered of it.
  void lay_out(const Settings& settings);
  Settings layout() const;
  Workspace& workspace() { return workspace_; }
  // Null until there is a first picture.
  ViewState* state() { return state_ ? &*state_ : nullptr; }
  // As of the last frame, and as of now.
  const Loaded& loaded() const { return loaded_; }
  Loaded loaded_now() const { return loader_->loaded(); }
  const std::string& path() const { return path_; }
  // A line for the user in place of the hints.
  void notice(std::string text) { notice_ = std::move(text); }

 private:
  // Into the current folder. Returns a line for the user.
  std::string write_tables(const std::vector<CsvFile>& files) const;
  void take_pieces();
  // Of a trace that is still being recorded: reads it again when it has grown.
  void follow();
  // Shows one process alone, 0: all, once it is read.
  void show_process(trace::ProcessId process);
  // Null while they are not found yet.
  DifferencesAnswer differences() const;
  void start_workers();

  const std::string path_;
  const std::string other_path_;  // "": none
  Settings layout_;
  trace::ProcessId process_{};        // that is shown, or being read; 0: all
  trace::ProcessId shown_process_{};  // of what is shown
  std::vector<trace::Process> processes_;
  std::function<void()> wake_;
  Loaded loaded_;
  std::optional<ViewState> state_;
  int64_t first_cursor_ns_ = 0;  // where it was put, not by the user
  std::shared_ptr<const Comparison> comparison_;
  Workspace workspace_;
  std::string notice_;
  std::shared_ptr<Loader> loader_;  // shared with workers that may outlive it
  std::shared_ptr<Loader> again_;   // of the same trace, grown; takes the place of loader_
  std::optional<Growth> growth_;
  std::atomic<int> ending_{0};     // workers that have been replaced and still answer something
  std::unique_ptr<Loader> other_;  // of the trace to compare with
  std::unique_ptr<LiveWorker> live_;
  std::unique_ptr<Questions> questions_;
  std::unique_ptr<DifferencesWorker> differences_;
};

}  // namespace tidemark::viewer
