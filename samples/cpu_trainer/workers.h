// A pool of threads that split a loop between them.
//
// set_worker_count() once, before the first parallel_for(); both from the main thread only.
// parallel_for() returns when every index is done; the calling thread takes part.
#pragma once

#include <cstddef>
#include <functional>

namespace cpu_trainer {

void set_worker_count(size_t threads);
void stop_workers();
void parallel_for(size_t count, const std::function<void(size_t)>& body);

}  // namespace cpu_trainer
