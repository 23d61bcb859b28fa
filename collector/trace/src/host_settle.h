// What is done to host allocations when recording ends: frees are put to their allocations, small
// chunks become full ones, and rows are sorted into classes by how long they lived (host_scan.h),
// so that what lived at one moment is found without reading all.
#pragma once

#include <string>

#include "host_scan.h"

namespace tidemark::trace {

// One transaction a window of rows. A kill between two leaves a valid trace: frees that are applied
// again change nothing, and a row that is there twice is given once. One caller at a time; it uses
// as many threads as the machine has cores, up to eight.
Result<void> settle_host_chunks(sqlite3* db, const std::string& path,
                                size_t window_rows = kWindowRows);

}  // namespace tidemark::trace
