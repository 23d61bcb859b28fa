// Signals while a running process is recorded: Ctrl-C, SIGTERM and SIGHUP end the recording, never
// the process. One instance at a time, on the main thread. Restores what was before when destroyed.
#pragma once

#include <signal.h>

#include <vector>

namespace tidemark::collector {

class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  [[nodiscard]] static bool arrived();

 private:
  struct Saved {
    int signal;
    struct sigaction action;
  };
  std::vector<Saved> saved_;
};

}  // namespace tidemark::collector
