// SQL's view of what is not plain rows: the table-valued modules host_allocation and
// tidemark_frame. Compiled into the reader and into the loadable extension.
#pragma once

#include "sqlite.h"

namespace tidemark::trace {

// Registers the modules on a connection whose main database is, or will be, a trace.
int register_modules(sqlite3* db);

// TEMP objects over them: `allocation` (device and host rows), and `frame`, which answers for one
// stack without walking all. Safe to call when main is no trace: they then fail when asked.
int create_temp_objects(sqlite3* db);

}  // namespace tidemark::trace
