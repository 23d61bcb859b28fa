// A Writer before the real one that sums up the host's allocations (host_aggregate.h), instead of
// writing their rows (--host=aggregate) or beside them: then it can keep the trace below a size
// (--max-size), by letting the real one condense what the sums tell too. All else goes through as
// it is. One thread.
#pragma once

#include <memory>

#include "host_aggregate.h"
#include "tidemark/trace/writer.h"

namespace tidemark::collector {

enum class HostRows : uint8_t { kNone, kKeep };

// `most_bytes`: of the trace with its journal; 0: as large as it gets.
std::unique_ptr<trace::Writer> condensing_writer(std::unique_ptr<trace::Writer> writer,
                                                 HostRows rows, int64_t most_bytes = 0);

}  // namespace tidemark::collector
