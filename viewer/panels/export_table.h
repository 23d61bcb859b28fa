// What a panel shows as files of comma-separated values.
#pragma once

#include <vector>

#include "tidemark/viewer/csv.h"
#include "tidemark/viewer/workspace.h"

namespace tidemark::viewer {

// Of the timeline the curve of the selected series. None while there is nothing to show.
std::vector<CsvFile> export_tables(const PanelContext& context, PanelName panel,
                                   DiffGrouping grouping);

}  // namespace tidemark::viewer
