#include "tidemark/analyzer/techniques.h"

#include <fmt/format.h>

#include <algorithm>

#include "report_parts.h"
#include "techniques_parts.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

// Rows that a quick report replays: some 20 predictions of them take a second or two.
constexpr uint64_t kQuickRows = 100'000;
// What is less than this of the peak, or of the time of the work, is not worth a reader's time.
constexpr int64_t kLeastShare = 100;

// A device's memory is what programs run out of: of the largest, what whatif is asked about. Of
// the host nobody looks for rows again: the report has counted them.
std::optional<Series> series_to_advise(const trace::Reader& reader, const Report& report) {
  const SeriesReport* largest = nullptr;
  for (const SeriesReport& line : report.series) {
    if (line.series.space != trace::Space::kDevice) continue;
    if (largest == nullptr || line.peak_bytes > largest->peak_bytes) largest = &line;
  }
  if (largest == nullptr) {
    const Series heap{trace::Layer::kHeap, trace::Space::kHost, trace::kNoDevice};
    const bool any = std::any_of(
        report.series.begin(), report.series.end(),
        [&](const SeriesReport& line) { return line.series == heap && line.allocations > 0; });
    return any && !report.condensed ? std::optional(heap) : std::nullopt;
  }
  const auto series = series_in(reader, trace::Space::kDevice, largest->series.device);
  if (!series) return std::nullopt;
  return *series;
}

const SeriesReport* line_of(const Report& report, const Series& series) {
  for (const SeriesReport& line : report.series) {
    if (line.series == series) return &line;
  }
  return nullptr;
}

int64_t peak_of(const Report& report, const SeriesReport& line) {
  if (line.series.layer != trace::Layer::kPool) return line.peak_bytes;
  for (const PoolReport& pool : report.pools) {
    if (pool.device == line.series.device) {
      return std::max(pool.peak_reserved_bytes, line.peak_bytes);
    }
  }
  return line.peak_bytes;
}

std::string too_many(const TechniqueSearch& search, AdviceDepth depth) {
  uint64_t rows = search.line->allocations;
  if (search.report.accesses) rows += search.report.accesses->accesses;
  if (search.report.kernels) rows += search.report.kernels->count;
  if (depth == AdviceDepth::kAll || rows <= kQuickRows) return "";
  return fmt::format(
      "{} allocations, kernels and accesses are replayed only when asked: tidemark report FILE "
      "--advice",
      format_count(rows));
}

Result<void> ask_all(TechniqueSearch& search, AdviceDepth depth) {
  TechniqueAdvice& advice = search.advice;
  std::optional<Schedule> schedule;
  if (search.line == nullptr) {
    advice.not_replayed = "no single allocations were recorded that could be replayed";
  } else {
    advice.not_replayed = too_many(search, depth);
  }
  if (advice.not_replayed.empty()) {
    auto built = build_schedule(search.reader, *advice.series);
    if (!built) return tl::unexpected(built.error());
    schedule = std::move(*built);
    search.schedule = &*schedule;
    const auto untouched = predict(*schedule, {});
    if (!untouched) return tl::unexpected(untouched.error());
    advice.peak_bytes = static_cast<int64_t>(untouched->baseline.reserved);
  }
  advise_by_replay(search);
  advise_by_work(search);
  advise_by_host(search);
  return {};
}

}  // namespace

const char* to_string(Technique technique) {
  constexpr const char* names[] = {
      "structures",   "batch",           "accumulation",  "checkpointing", "pruning",
      "quantization", "mixed_precision", "pinning",       "allocator",     "mapping",
      "low_rank",     "caching",         "async_loading", "sharding",      "hardware"};
  static_assert(std::size(names) == kTechniques);
  return names[static_cast<size_t>(technique)];
}

const char* technique_text(Technique technique) {
  constexpr const char* names[] = {"data structures",
                                   "batch size",
                                   "gradient accumulation",
                                   "checkpointing",
                                   "pruning",
                                   "quantization",
                                   "mixed precision",
                                   "pinning, async copies",
                                   "allocator",
                                   "memory mapping",
                                   "low rank",
                                   "caching of repeated work",
                                   "asynchronous loading",
                                   "sharding, parallelism",
                                   "specialised hardware"};
  static_assert(std::size(names) == kTechniques);
  return names[static_cast<size_t>(technique)];
}

int64_t TechniqueAdvice::saved_bytes(const TechniqueLine& line) const {
  const int64_t lower =
      line.peak_with_bytes ? std::max<int64_t>(0, peak_bytes - *line.peak_with_bytes) : 0;
  return lower + static_cast<int64_t>(line.beside_bytes);
}

uint64_t TechniqueSearch::bytes_of(Category category) const {
  if (line == nullptr) return 0;
  const auto found =
      std::ranges::find(line->categories, to_string(category), &CategoryBytes::category);
  return found == line->categories.end() ? 0 : static_cast<uint64_t>(found->bytes);
}

std::string TechniqueSearch::share_of_peak(uint64_t bytes) const {
  const int64_t peak = line == nullptr ? 0 : line->peak_bytes;
  return fmt::format("{} ({}) of the peak of {}", format_bytes(bytes),
                     format_share(bytes, static_cast<uint64_t>(peak)),
                     line == nullptr ? "host" : series_text(line->series));
}

std::string TechniqueSearch::whatif(const std::string& options) const {
  return "tidemark whatif FILE" + space_option + options;
}

void TechniqueSearch::add(TechniqueLine added, uint64_t beside_whole, bool told) const {
  constexpr double ns_per_second = 1e9;
  // Of a loop the time of its iterations, else of the whole recording.
  const std::vector<Iteration>& iterations = report.structure.iterations;
  const int64_t work_ns =
      iterations.empty() ? report.span_ns : iterations.back().end_ns - iterations.front().begin_ns;
  const int64_t lower = advice.saved_bytes(added) - static_cast<int64_t>(added.beside_bytes);
  const bool memory = lower > 0 && lower * kLeastShare >= advice.peak_bytes;
  const bool beside = added.beside_bytes > 0 && added.beside_bytes * kLeastShare >= beside_whole;
  const bool time = added.seconds > 0 &&
                    added.seconds * ns_per_second * kLeastShare >= static_cast<double>(work_ns);
  added.applies = memory || beside || time || told;
  if (!added.applies) added.change.clear();
  advice.lines.push_back(std::move(added));
}

Result<void> add_techniques(const trace::Reader& reader, AdviceDepth depth, Report& report) {
  if (depth == AdviceDepth::kNone) return {};
  TechniqueAdvice& advice = report.techniques.emplace();
  TechniqueSearch search{reader, report, advice, nullptr, nullptr, ""};
  advice.series = series_to_advise(reader, report);
  if (advice.series) search.line = line_of(report, *advice.series);
  if (search.line != nullptr) advice.peak_bytes = peak_of(report, *search.line);
  advice.step_ns = report.structure.usual_ns();
  if (advice.series && *advice.series != Series{advice.series->layer, trace::Space::kDevice, 0}) {
    search.space_option = " --space " + space_text(*advice.series);
  }
  if (auto asked = ask_all(search, depth); !asked) return asked;
  std::ranges::stable_sort(advice.lines, {}, &TechniqueLine::technique);
  return {};
}

}  // namespace tidemark::analyzer
