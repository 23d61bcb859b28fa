#include "export_table.h"

#include <array>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

namespace tidemark::viewer {
namespace {

void add(std::vector<CsvFile>* files, const char* name, std::string text) {
  if (!text.empty()) files->push_back({name, std::move(text)});
}

void add_live(const PanelContext& context, std::vector<CsvFile>* files) {
  const auto answer = context.live.latest();
  if (answer != nullptr && answer->error.empty()) add(files, "live", live_csv(*answer));
}

void add_usage(const PanelContext& context, std::vector<CsvFile>* files) {
  const Track* track = context.document.find(context.state.selected);
  if (track != nullptr) add(files, "usage", usage_csv(*track));
}

void add_details(const PanelContext& context, std::vector<CsvFile>* files) {
  const auto answered = context.questions->details().latest();
  if (answered == nullptr) return;
  constexpr std::array<const char*, std::variant_size_v<Details>> kNames = {"", "uses", "blocks",
                                                                            "range", ""};
  add(files, kNames.at(answered->answer.index()), details_csv(answered->answer));
}

void add_comparison(const PanelContext& context, DiffGrouping grouping,
                    std::vector<CsvFile>* files) {
  if (context.comparison == nullptr) return;
  add(files, "compare", comparison_csv(*context.comparison));
  if (context.differences == nullptr || !*context.differences) return;
  const auto* series = find_differences(**context.differences, context.state.selected);
  if (series != nullptr) add(files, "differences", differences_csv(rows_of(*series, grouping)));
}

// The answer of a worker that may fail; null while there is none.
template <class Worker>
auto answer_of(Worker& worker) {
  const auto answered = worker.latest();
  using Answer = typename std::remove_reference_t<decltype(*answered->answer)>::value_type;
  if (answered == nullptr || !*answered->answer) return std::shared_ptr<const Answer>();
  return std::shared_ptr<const Answer>(answered->answer, &**answered->answer);
}

void add_answers(const PanelContext& context, PanelName panel, std::vector<CsvFile>* files) {
  Questions& questions = *context.questions;
  if (panel == PanelName::kDetails) add_details(context, files);
  if (panel == PanelName::kSegments) {
    if (const auto map = answer_of(questions.segments()))
      add(files, "segments", segments_csv(*map));
  }
  if (panel == PanelName::kAdvice) {
    if (const auto advice = answer_of(questions.techniques())) {
      add(files, "advice", techniques_csv(*advice));
    }
  }
  if (panel == PanelName::kWhatIf) {
    const auto answered = questions.forecast().latest();
    if (answered != nullptr) add(files, "whatif", forecast_csv(*answered->answer));
  }
  if (panel == PanelName::kSearch) {
    const auto answered = questions.search().latest();
    if (answered != nullptr) add(files, "search", search_csv(answered->answer));
  }
}

}  // namespace

std::vector<CsvFile> export_tables(const PanelContext& context, PanelName panel,
                                   DiffGrouping grouping) {
  std::vector<CsvFile> files;
  switch (panel) {
    case PanelName::kAll:
    case PanelName::kTimeline:
    case PanelName::kSummary:
      add_usage(context, &files);
      break;
    case PanelName::kLive:
    case PanelName::kFlame:
    case PanelName::kTreemap:
      add_live(context, &files);
      break;
    case PanelName::kFindings:
      if (context.insight != nullptr) {
        add(&files, "findings", findings_csv(context.insight->findings));
      }
      break;
    case PanelName::kCompare:
      add_comparison(context, grouping, &files);
      break;
    case PanelName::kDetails:
    case PanelName::kSegments:
    case PanelName::kAdvice:
    case PanelName::kWhatIf:
    case PanelName::kSearch:
      if (context.questions != nullptr) add_answers(context, panel, &files);
      break;
  }
  return files;
}

}  // namespace tidemark::viewer
