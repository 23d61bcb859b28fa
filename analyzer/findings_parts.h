// The families of findings, a file each. Private to the analyzer. Pure.
#pragma once

#include "tidemark/analyzer/findings.h"

namespace tidemark::analyzer {

// By what used each block: only device memory.
Result<void> find_unneeded(const trace::Reader& reader, const UsageCurve& curve,
                           std::vector<Finding>& findings);
// From iteration to iteration.
Result<void> find_growth(const trace::Reader& reader, const Structure& structure,
                         const UsageCurve& curve, std::vector<Finding>& findings);
// Of the pool's own device.
Result<void> find_reserved_unused(const trace::Reader& reader, const UsageCurve& curve,
                                  std::vector<Finding>& findings);

// What is less than this of a peak is not worth a reader's time.
inline constexpr int64_t kLeastShare = 200;

}  // namespace tidemark::analyzer
