// One process of a trace: a Reader that leaves out what all other processes did, so that every
// curve, table, prediction and finding over it is of this process alone. Losses and the trace's
// header are of the whole recording. Owned by one thread, as every Reader.
#pragma once

#include <memory>
#include <string>

#include "tidemark/trace/reader.h"

namespace tidemark::viewer {

// `process` 0: the whole trace, as it is.
std::unique_ptr<trace::Reader> only_process(std::unique_ptr<trace::Reader> whole,
                                            trace::ProcessId process);

// "rank 1 python3 (4217)", "python3 (4217)".
std::string process_text(const trace::Process& process);

}  // namespace tidemark::viewer
