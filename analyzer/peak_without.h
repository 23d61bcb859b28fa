// The peak of a series had some lifetimes been others: the usage curve, replayed with what changes.
// Private to the analyzer. Pure; any thread.
#pragma once

#include <vector>

#include "tidemark/analyzer/usage.h"

namespace tidemark::analyzer {

struct PeakPoint {
  int64_t bytes = 0;
  int64_t time_ns = 0;
};

// That `bytes` were not there from begin to end.
struct Absence {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  uint64_t bytes = 0;
};

// Cost: sorts the absences, and walks the curve once.
PeakPoint peak_without(const UsageCurve& curve, const std::vector<Absence>& absences);

}  // namespace tidemark::analyzer
