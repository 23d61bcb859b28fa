// The table-valued module tidemark_access(kernel_id, allocation_id) over access_chunk.
#pragma once

#include "sqlite.h"

namespace tidemark::trace {

int register_access_module(sqlite3* db);

}  // namespace tidemark::trace
