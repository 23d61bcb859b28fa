// The recorder's client interface (tidemark/wire/client.h) as this library found it.
#pragma once

#include "tidemark/wire/client.h"

namespace tidemark::cuda {

// nullptr when no recorder of this version is there: then nothing may be done at all.
const wire::Client* find_client();

// While it lives, host hooks on this thread record nothing: for calls that set something up for
// good (loading CUPTI, subscribing, starting a thread). Not for flushing: there CUPTI frees what it
// allocated on the program's threads, in calls that cannot be paused, and a free that is not
// recorded would leave a leak in the trace that is none.
class Pause {
 public:
  explicit Pause(const wire::Client& client) : client_(client) { client_.pause_thread(); }
  ~Pause() { client_.resume_thread(); }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;

 private:
  const wire::Client& client_;
};

}  // namespace tidemark::cuda
