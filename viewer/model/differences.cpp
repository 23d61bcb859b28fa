#include "tidemark/viewer/differences.h"

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

}  // namespace tidemark::viewer
