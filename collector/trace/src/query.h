// Runs a user's SQL on a trace, where it can only read.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "sqlite.h"
#include "tidemark/trace/reader.h"

namespace tidemark::trace {

Result<void> run_query(sqlite3* db, const std::string& path, const std::string& sql,
                       const std::function<void(std::span<const std::string>)>& header,
                       const std::function<bool(std::span<const Cell>)>& row);

}  // namespace tidemark::trace
