// What grew from one trace to another at their peaks, by category, line, layer and call stack: the
// analyzer's diff, found on a thread of its own once it is asked for.
#pragma once

#include <memory>

#include "tidemark/analyzer/diff.h"
#include "tidemark/viewer/loader.h"
#include "tidemark/viewer/newest_worker.h"

namespace tidemark::viewer {

using DifferencesAnswer = std::shared_ptr<const Result<analyzer::ReportDiff>>;
using DifferencesWorker = NewestWorker<bool, DifferencesAnswer>;

// Begins at once.
std::unique_ptr<DifferencesWorker> make_differences(const Loader::Open& before,
                                                    const Loader::Open& after,
                                                    const std::function<void()>& on_answer);

}  // namespace tidemark::viewer
