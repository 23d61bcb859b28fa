// What grew from one trace to another at their peaks, by category, line, layer and call stack: the
// analyzer's diff, found on a thread of its own once it is asked for.
#pragma once

#include <memory>
#include <vector>

#include "tidemark/analyzer/diff.h"
#include "tidemark/viewer/loader.h"
#include "tidemark/viewer/newest_worker.h"

namespace tidemark::viewer {

using DifferencesAnswer = std::shared_ptr<const Result<analyzer::ReportDiff>>;
using DifferencesWorker = NewestWorker<bool, DifferencesAnswer>;

// How what differs is listed.
enum class DiffGrouping : uint8_t { kLine, kLayer, kCategory, kStack };
const std::vector<analyzer::DiffRow>& rows_of(const analyzer::SeriesDiff& series,
                                              DiffGrouping grouping);
// Null: neither trace has this series.
const analyzer::SeriesDiff* find_differences(const analyzer::ReportDiff& differences,
                                             const analyzer::Series& series);

// Begins at once.
std::unique_ptr<DifferencesWorker> make_differences(const Loader::Open& before,
                                                    const Loader::Open& after,
                                                    const std::function<void()>& on_answer);

}  // namespace tidemark::viewer
