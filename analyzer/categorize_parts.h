// The parts of categorize(), for those that ask about several series, or about some blocks of one:
// the roles of stacks are worked out once. Private to the analyzer. Pure.
#pragma once

#include "role_cache.h"
#include "tidemark/analyzer/categories.h"

namespace tidemark::analyzer {

// Layers of blocks that a filter leaves out are not counted: instances are then numbered otherwise.
[[nodiscard]] Result<BlockPlaces> place_blocks(const trace::Reader& reader,
                                               const Structure& structure,
                                               const trace::AllocationFilter& filter,
                                               RoleCache& roles);

// `filter`: that of the series, or a part of it.
[[nodiscard]] Result<SeriesBlocks> categorize(const trace::Reader& reader,
                                              const Structure& structure, const Series& series,
                                              const trace::AllocationFilter& filter,
                                              RoleCache& roles);

}  // namespace tidemark::analyzer
