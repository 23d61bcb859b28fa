#include "tidemark/viewer/differences.h"

#include <algorithm>

namespace tidemark::viewer {
namespace {

Result<analyzer::Report> report_of(const Loader::Open& open) {
  const auto reader = open();
  if (!reader) return tl::unexpected(reader.error());
  return analyzer::build_report(**reader, analyzer::diff_options());
}

Result<analyzer::ReportDiff> differences(const Loader::Open& before, const Loader::Open& after) {
  const auto first = report_of(before);
  if (!first) return tl::unexpected(first.error());
  const auto second = report_of(after);
  if (!second) return tl::unexpected(second.error());
  return analyzer::diff(*first, *second);
}

}  // namespace

std::unique_ptr<DifferencesWorker> make_differences(const Loader::Open& before,
                                                    const Loader::Open& after,
                                                    const std::function<void()>& on_answer) {
  auto worker = std::make_unique<DifferencesWorker>(
      [before, after](bool) {
        return std::make_shared<const Result<analyzer::ReportDiff>>(differences(before, after));
      },
      on_answer);
  worker->request(true);
  return worker;
}

const std::vector<analyzer::DiffRow>& rows_of(const analyzer::SeriesDiff& series,
                                              DiffGrouping grouping) {
  switch (grouping) {
    case DiffGrouping::kLine:
      return series.lines;
    case DiffGrouping::kLayer:
      return series.layers;
    case DiffGrouping::kCategory:
      return series.categories;
    case DiffGrouping::kStack:
      break;
  }
  return series.stacks;
}

const analyzer::SeriesDiff* find_differences(const analyzer::ReportDiff& differences,
                                             const analyzer::Series& series) {
  const auto found =
      std::find_if(differences.series.begin(), differences.series.end(),
                   [&](const analyzer::SeriesDiff& one) { return one.series == series; });
  return found == differences.series.end() ? nullptr : &*found;
}

}  // namespace tidemark::viewer
