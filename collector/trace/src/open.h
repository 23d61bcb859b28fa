// Opens a trace for reading with everything shut that a hostile file could use.
#pragma once

#include <string>

#include "sqlite.h"
#include "tidemark/trace/result.h"

namespace tidemark::trace {

Result<Connection> open_trace_file(const std::string& path);

}  // namespace tidemark::trace
