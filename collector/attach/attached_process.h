// A running process that is recorded from now on until it ends or a signal asks us to stop; then it
// and its recorded children are let go. What touches processes runs on a system thread of its own:
// they may wait for their rings to be drained meanwhile.
#pragma once

#include <functional>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "process_facts.h"
#include "tidemark/wire/attach.h"
#include "watched.h"

namespace tidemark::collector {

class AttachedProcess final : public Watched {
 public:
  struct Plan {
    ProcessFacts facts;
    std::string library;  // libtidemark_preload.so
    std::string arena;    // as in wire::kArenaVariable
    // Processes of the recording that live, asked when it is to end.
    std::function<std::vector<int32_t>()> recorded;
    // Called once it is attached, with what it said.
    std::function<void(const wire::AttachRequest& answer)> attached;
    // Called with a line for each process that could not be let go.
    std::function<void(const std::string& line)> not_detached;
  };
  // Begins at once. Signals are taken care of by whoever calls (stop_signals.h).
  explicit AttachedProcess(Plan plan);
  ~AttachedProcess() override;

  [[nodiscard]] pid_t pid() const override { return plan_.facts.pid; }
  bool poll() override;
  [[nodiscard]] std::optional<ExitStatus> status() const override { return status_; }
  // Why it could not be attached to: poll() was true at once, and nothing is recorded.
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  enum class Stage : uint8_t { kAttaching, kRecording, kDetaching, kOver };
  bool ended() const;
  void begin_detaching();
  bool finish_attaching();
  Plan plan_;
  Stage stage_ = Stage::kAttaching;
  int descriptor_ = -1;  // of the process, -1 on kernels without
  wire::AttachRequest request_{};
  std::future<Result<int64_t>> attaching_;
  std::future<std::vector<std::string>> detaching_;
  std::optional<ExitStatus> status_;
  std::optional<Error> error_;
};

}  // namespace tidemark::collector
