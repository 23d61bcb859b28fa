// What power the program's devices took, and what energy that was, of the whole and of an
// iteration.
#include <algorithm>
#include <map>

#include "names.h"
#include "report_parts.h"

namespace tidemark::analyzer {
namespace {

using trace::DevicePower;

// Figures of a trace are untrusted: no difference of two may overflow.
double between(int64_t from, int64_t to) {
  return static_cast<double>(to) - static_cast<double>(from);
}
int64_t whole(double value) { return static_cast<int64_t>(std::clamp(value, 0.0, 9e18)); }

// Energy since the first look. The driver's own counter where it has one; otherwise each figure of
// power holds until the next.
class EnergyCurve {
 public:
  explicit EnergyCurve(const std::vector<const DevicePower*>& looks)
      : counted_(std::ranges::none_of(looks, [](const DevicePower* look) {
          return look->energy_mj == DevicePower::kUntold;
        })) {
    double sum_mj = 0;
    for (size_t i = 0; i < looks.size(); ++i) {
      if (counted_) {
        // A counter that falls was begun anew with the driver.
        if (i > 0) sum_mj += std::max(between(looks[i - 1]->energy_mj, looks[i]->energy_mj), 0.0);
      } else if (i > 0) {
        sum_mj += static_cast<double>(looks[i - 1]->power_mw) * 1e-9 *
                  between(looks[i - 1]->time_ns, looks[i]->time_ns);
      }
      points_.push_back({looks[i]->time_ns, sum_mj});
    }
  }
  bool counted() const { return counted_; }
  bool holds(int64_t time_ns) const {
    return !points_.empty() && points_.front().time_ns <= time_ns &&
           time_ns <= points_.back().time_ns;
  }
  // Millijoules, between two looks along a line. `time_ns` is one that it holds.
  double at(int64_t time_ns) const {
    const auto next = std::ranges::lower_bound(points_, time_ns, {}, &Point::time_ns);
    if (next == points_.begin() || next->time_ns == time_ns) return next->sum_mj;
    const Point& before = *std::prev(next);
    const double share = between(before.time_ns, time_ns) / between(before.time_ns, next->time_ns);
    return before.sum_mj + share * (next->sum_mj - before.sum_mj);
  }
  double whole_mj() const { return points_.empty() ? 0 : points_.back().sum_mj; }

 private:
  struct Point {
    int64_t time_ns;
    double sum_mj;
  };
  bool counted_;
  std::vector<Point> points_;
};

// Of the iterations after the warm-up, as far as they were looked at: one alone can be shorter than
// what the sensor takes for now.
void add_iterations(const Structure& structure, const EnergyCurve& energy, PowerLine& line) {
  constexpr double kLeastNs = 1e9;
  const Iteration* first = nullptr;
  const Iteration* last = nullptr;
  for (const Iteration& iteration : structure.iterations) {
    if (iteration.warm_up || !energy.holds(iteration.begin_ns) || !energy.holds(iteration.end_ns)) {
      continue;
    }
    if (first == nullptr) first = &iteration;
    last = &iteration;
  }
  if (first == nullptr || between(first->begin_ns, last->end_ns) < kLeastNs) return;
  const auto count = last - first + 1;
  line.iteration_mj =
      whole((energy.at(last->end_ns) - energy.at(first->begin_ns)) / static_cast<double>(count));
}

PowerLine line_of(const std::vector<const DevicePower*>& looks, const Structure& structure) {
  PowerLine line;
  line.begin_ns = looks.front()->time_ns;
  line.end_ns = looks.back()->time_ns;
  PowerLine::Peak peak;
  for (const DevicePower* look : looks) {
    if (look->power_mw > peak.mw) peak = {look->power_mw, look->time_ns};
  }
  const EnergyCurve energy(looks);
  line.counted = energy.counted();
  line.energy_mj = whole(energy.whole_mj());
  const double seconds = between(line.begin_ns, line.end_ns) * 1e-9;
  line.mean_mw = seconds > 0 ? whole(energy.whole_mj() / seconds) : peak.mw;
  if (peak.mw >= line.mean_mw) line.peak = peak;
  add_iterations(structure, energy, line);
  return line;
}

}  // namespace

Result<void> add_power(const trace::Reader& reader, Report& report) {
  const auto rows = reader.device_power();
  if (!rows) return tl::unexpected(rows.error());
  std::map<std::string, std::vector<const DevicePower*>> by_bus;
  for (const DevicePower& row : *rows) {
    if (row.time_ns >= 0) by_bus[reader.text(row.bus)].push_back(&row);
  }
  for (auto& [bus, looks] : by_bus) {
    const int16_t device = device_on(reader, bus);
    if (device == trace::kNoDevice) continue;  // not the program's
    std::ranges::stable_sort(looks, {}, [](const DevicePower* look) { return look->time_ns; });
    PowerLine line = line_of(looks, report.structure);
    line.bus = bus;
    line.device = device;
    report.power.push_back(std::move(line));
  }
  return {};
}

}  // namespace tidemark::analyzer
