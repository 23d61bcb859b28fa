// What is done to host allocations when recording ends: frees are put to their allocations, small
// chunks become full ones, and rows are sorted into classes by how long they lived (host_scan.h),
// so that what lived at one moment is found without reading all.
#pragma once

#include <functional>
#include <string>

#include "host_scan.h"

namespace tidemark::trace {

struct Settling {
  size_t window_rows = kWindowRows;
  // How many bytes of chunks may be there twice, and be changed in one transaction, asked for each
  // window; none: as many as it takes.
  std::function<int64_t()> most_twice;
};

// Chunks of the class of the shortest lifetimes that are there already stay as they are, but for
// those with a row that was revived.
//
// One transaction a window of rows. A kill between two leaves a valid trace: frees that are applied
// again change nothing, and a row that is there twice is given once. So does an end before all is
// settled, for want of most_twice(): the rest stays as it was recorded, and is only read slower.
// One caller at a time; it uses as many threads as the machine has cores, up to eight.
Result<void> settle_host_chunks(sqlite3* db, const std::string& path, const Settling& how = {});

}  // namespace tidemark::trace
