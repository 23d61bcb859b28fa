// The process whose life a recording has: the command that it started, or the process that it was
// attached to. Asked from the thread that drains.
#pragma once

#include <sys/types.h>

#include "tidemark/collector/recorder.h"

namespace tidemark::collector {

class Watched {
 public:
  virtual ~Watched() = default;
  [[nodiscard]] virtual pid_t pid() const = 0;
  // True once the recording is over. What had happened before is then in the rings.
  virtual bool poll() = 0;
  // How the process ended; nothing while it lives on.
  [[nodiscard]] virtual std::optional<ExitStatus> status() const = 0;

 protected:
  Watched() = default;
  Watched(const Watched&) = default;
  Watched(Watched&&) = default;
  Watched& operator=(const Watched&) = default;
  Watched& operator=(Watched&&) = default;
};

}  // namespace tidemark::collector
