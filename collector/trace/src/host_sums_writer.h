// Keeps host_total_row and host_curve_row as the collector's sums are: writes only what is not
// there yet, for of many thousand sums few change within a second. A sum's place in the tables is
// that among those it is handed, so their order should stay. Functions return false when SQLite
// failed.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "sqlite.h"
#include "tidemark/trace/types.h"

namespace tidemark::trace {

class HostSumsWriter {
 public:
  explicit HostSumsWriter(sqlite3* db);

  // `pause` is called now and then, between two rows; it may commit. False ends the writing.
  bool write_totals(std::span<const HostTotal> totals, const std::function<bool()>& pause);
  // Those of one process and layer follow each other, ascending in time.
  bool write_curves(std::span<const HostCurvePoint> points);

 private:
  struct Curve {
    int64_t first_row = 0;
    std::vector<HostCurvePoint> written;
    bool told = false;  // this time
  };
  bool write_curve(std::span<const HostCurvePoint> points, Curve& curve);

  Statement total_, point_, remove_totals_, remove_points_;
  std::vector<uint64_t> written_totals_;  // their hashes
  std::map<std::pair<ProcessId, Layer>, Curve> curves_;
};

}  // namespace tidemark::trace
