// Makes timelines of usage. Private to the analyzer. Pure.
#pragma once

#include "tidemark/analyzer/detail.h"
#include "tidemark/analyzer/usage.h"

namespace tidemark::analyzer {

// As a whole. At most `samples` of them.
Timeline timeline_of(const UsageCurve& curve, size_t samples);

// By category: `blocks` has every block of the series.
[[nodiscard]] Result<Timeline> timeline_of(const trace::Reader& reader, const UsageCurve& curve,
                                           const SeriesBlocks& blocks, size_t samples);

}  // namespace tidemark::analyzer
