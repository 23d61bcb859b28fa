#include "host_sums_writer.h"

#include <algorithm>
#include <array>

namespace tidemark::trace {
namespace {

constexpr size_t kRowsBetweenPauses = 1024;
// No curve has more points, so that curves can grow side by side.
constexpr int64_t kRowsOfCurve = int64_t{1} << 20;

int64_t number(auto id) { return static_cast<int64_t>(id); }

std::array<int64_t, 14> values_of(const HostTotal& row) {
  return {number(row.process),
          number(row.layer),
          number(row.stack),
          number(row.api),
          number(row.allocations),
          number(row.allocated_bytes),
          number(row.frees),
          number(row.freed_bytes),
          number(row.temporary),
          number(row.peak_bytes),
          number(row.at_peak_count),
          number(row.at_peak_bytes),
          number(row.at_process_peak_count),
          number(row.at_process_peak_bytes)};
}

// Only of numbers that are counted up: two that differ have another hash but for one chance in
// 2^64.
uint64_t hash_of(std::span<const int64_t> values) {
  uint64_t hash = 1;
  for (const int64_t value : values) {
    hash = (hash ^ static_cast<uint64_t>(value)) * 0x9e3779b97f4a7c15U;
    hash ^= hash >> 32;
  }
  return hash;
}

bool same(const HostCurvePoint& a, const HostCurvePoint& b) {
  return a.time_ns == b.time_ns && a.bytes == b.bytes && a.count == b.count;
}

}  // namespace

HostSumsWriter::HostSumsWriter(sqlite3* db)
    : total_(db,
             "INSERT OR REPLACE INTO host_total_row(rowid, process_id, layer, stack_id, api_id, "
             "allocations, allocated_bytes, frees, freed_bytes, temporary, peak_bytes, "
             "at_peak_count, at_peak_bytes, at_process_peak_count, at_process_peak_bytes) "
             "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)",
             SQLITE_PREPARE_PERSISTENT),
      point_(db,
             "INSERT INTO host_curve_row(rowid, process_id, layer, time_ns, bytes, count) "
             "VALUES(?1,?2,?3,?4,?5,?6)",
             SQLITE_PREPARE_PERSISTENT),
      remove_totals_(db, "DELETE FROM host_total_row WHERE rowid>?1", SQLITE_PREPARE_PERSISTENT),
      remove_points_(db, "DELETE FROM host_curve_row WHERE rowid>=?1 AND rowid<?2",
                     SQLITE_PREPARE_PERSISTENT) {}

bool HostSumsWriter::write_totals(std::span<const HostTotal> totals,
                                  const std::function<bool()>& pause) {
  if (totals.size() < written_totals_.size()) {
    remove_totals_.bind(1, static_cast<int64_t>(totals.size()));
    if (!remove_totals_.run()) return false;
  }
  written_totals_.resize(totals.size());
  size_t written = 0;
  for (size_t i = 0; i < totals.size(); ++i) {
    const auto values = values_of(totals[i]);
    const uint64_t hash = hash_of(values);
    if (written_totals_[i] == hash) continue;
    written_totals_[i] = hash;
    total_.bind(1, static_cast<int64_t>(i) + 1);
    int column = 2;
    for (const int64_t value : values) total_.bind(column++, value);
    // Ids that are none; layers are numbered from 0.
    for (const int absent : {2, 4, 5}) {
      total_.bind_unless(absent, values[static_cast<size_t>(absent) - 2], 0);
    }
    if (!total_.run()) return false;
    if (++written % kRowsBetweenPauses == 0 && !pause()) return false;
  }
  return true;
}

bool HostSumsWriter::write_curves(std::span<const HostCurvePoint> points) {
  for (auto& [key, curve] : curves_) curve.told = false;
  while (!points.empty()) {
    const auto end = std::find_if(points.begin(), points.end(), [&](const HostCurvePoint& point) {
      return point.process != points.front().process || point.layer != points.front().layer;
    });
    const auto length = static_cast<size_t>(end - points.begin());
    Curve& curve = curves_[{points.front().process, points.front().layer}];
    if (curve.first_row == 0) curve.first_row = static_cast<int64_t>(curves_.size()) * kRowsOfCurve;
    curve.told = true;
    if (!write_curve(points.first(length), curve)) return false;
    points = points.subspan(length);
  }
  return std::all_of(curves_.begin(), curves_.end(), [this](auto& entry) {
    return entry.second.told || write_curve({}, entry.second);
  });
}

bool HostSumsWriter::write_curve(std::span<const HostCurvePoint> points, Curve& curve) {
  const auto differ =
      std::mismatch(points.begin(), points.end(), curve.written.begin(), curve.written.end(), same);
  const auto kept = static_cast<size_t>(differ.first - points.begin());
  if (kept < curve.written.size()) {
    remove_points_.bind(1, curve.first_row + static_cast<int64_t>(kept));
    remove_points_.bind(2, curve.first_row + kRowsOfCurve);
    if (!remove_points_.run()) return false;
  }
  for (size_t i = kept; i < points.size(); ++i) {
    const HostCurvePoint& row = points[i];
    point_.bind(1, curve.first_row + static_cast<int64_t>(i));
    point_.bind_unless(2, number(row.process), 0);
    point_.bind(3, number(row.layer));
    point_.bind(4, row.time_ns);
    point_.bind(5, number(row.bytes));
    point_.bind(6, number(row.count));
    if (!point_.run()) return false;
  }
  curve.written.assign(points.begin(), points.end());
  return true;
}

}  // namespace tidemark::trace
