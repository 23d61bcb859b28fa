// A Writer before the real one that sums up the host's allocations (host_aggregate.h), instead of
// writing their rows or beside that. All else goes through as it is. One thread.
#pragma once

#include <memory>

#include "host_aggregate.h"
#include "tidemark/trace/writer.h"

namespace tidemark::collector {

enum class HostRows : uint8_t { kNone, kKeep };

std::unique_ptr<trace::Writer> condensing_writer(std::unique_ptr<trace::Writer> writer,
                                                 HostRows rows);

}  // namespace tidemark::collector
