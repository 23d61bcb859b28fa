#include "peak_without.h"

#include "sort_by_time.h"

namespace tidemark::analyzer {

PeakPoint peak_without(const UsageCurve& curve, const std::vector<Absence>& absences) {
  struct Change {
    int64_t time_ns;
    int64_t bytes;
  };
  std::vector<Change> changes;
  changes.reserve(absences.size() * 2);
  for (const Absence& absence : absences) {
    if (absence.end_ns <= absence.begin_ns) continue;
    changes.push_back({absence.begin_ns, static_cast<int64_t>(absence.bytes)});
    if (absence.end_ns != trace::kNever) {
      changes.push_back({absence.end_ns, -static_cast<int64_t>(absence.bytes)});
    }
  }
  sort_by_time(changes);
  PeakPoint peak;
  int64_t live = 0;
  int64_t absent = 0;
  auto change = changes.cbegin();
  auto point = curve.points.cbegin();
  while (point != curve.points.cend() || change != changes.cend()) {
    const bool change_next = point == curve.points.cend() ||
                             (change != changes.cend() && change->time_ns < point->time_ns);
    const int64_t now = change_next ? change->time_ns : point->time_ns;
    for (; change != changes.cend() && change->time_ns == now; ++change) absent += change->bytes;
    if (point != curve.points.cend() && point->time_ns == now) live = (point++)->bytes;
    if (live - absent > peak.bytes) peak = {live - absent, now};
  }
  return peak;
}

}  // namespace tidemark::analyzer
