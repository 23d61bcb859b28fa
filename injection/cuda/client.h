// The recorder's client interface (tidemark/wire/client.h) as this library found it.
#pragma once

#include "tidemark/wire/client.h"

namespace tidemark::cuda {

// nullptr when no recorder of this version is there: then nothing may be done at all.
const wire::Client* find_client();

// While it lives, what this thread allocates is CUPTI's and not the program's.
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
