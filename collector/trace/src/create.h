// Makes the empty trace file that a Writer fills.
#pragma once

#include <string>

#include "sqlite.h"
#include "tidemark/trace/result.h"

namespace tidemark::trace {

// Replaces a trace that nobody uses; refuses to touch any other file.
Result<Connection> create_trace_file(const std::string& path);

}  // namespace tidemark::trace
