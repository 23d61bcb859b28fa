// Starts the command with the injected libraries in its environment and learns how it ended. Its
// standard streams, terminal, process group, working folder and limits are the recorder's.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "signals.h"
#include "tidemark/collector/executable.h"
#include "watched.h"

namespace tidemark::collector {

using Environment = std::vector<std::pair<std::string, std::string>>;

struct InjectionPaths {
  std::string preload;  // libtidemark_preload.so, or the one that leaves the heap alone
  std::string cuda;     // libtidemark_cuda.so; "": leave CUDA alone
  std::string python;   // folder of sitecustomize.py; "": leave the frameworks' pools alone
};

struct InjectedEnvironment {
  Environment set;          // in addition to the recorder's own
  bool cuda_taken = false;  // CUDA_INJECTION64_PATH was set already and is kept
  bool nvtx_taken = false;  // NVTX_INJECTION64_PATH too
  // Of those that expose pools: what was set, and what the user has set to something else already,
  // which is kept.
  Environment pools;
  Environment pools_taken;
};
// Pure. `current(name)` is the recorder's own variable or null.
InjectedEnvironment injected_environment(const InjectionPaths& paths, const std::string& arena,
                                         const char* (*current)(const char* name));

class Target final : public Watched {
 public:
  // Errors: exit code 126 or 127 with one line.
  [[nodiscard]] static tl::expected<Target, RecordError> start(
      const Executable& executable, const std::vector<std::string>& command,
      const Environment& environment, SignalForwarding& signals);

  [[nodiscard]] pid_t pid() const override { return pid_; }
  // True once it has ended; reaps it, after signals have stopped going to its pid.
  bool poll() override;
  [[nodiscard]] std::optional<ExitStatus> status() const override { return status_; }

 private:
  Target(pid_t pid, SignalForwarding& signals) : pid_(pid), signals_(&signals) {}
  pid_t pid_;
  SignalForwarding* signals_;
  bool ended_ = false;
  ExitStatus status_;
};

}  // namespace tidemark::collector
