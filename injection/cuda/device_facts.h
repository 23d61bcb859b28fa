// What the machine is, for the trace's meta: the driver, and every device the process can see.
#pragma once

#include "tidemark/wire/client.h"

namespace tidemark::cuda {

// Asks the driver (found, not linked). Call it when cuInit has succeeded, from a thread that is
// inside no CUDA call. False: the driver did not answer; nothing was published, try again.
bool publish_device_facts(const wire::Client& client);

}  // namespace tidemark::cuda
