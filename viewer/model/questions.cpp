#include "tidemark/viewer/questions.h"

#include <map>
#include <utility>

#include "tidemark/analyzer/report.h"

namespace tidemark::viewer {
namespace {

// Opened at the first question, on the thread that asks.
class LazyReader {
 public:
  explicit LazyReader(Loader::Open open) : open_(std::move(open)) {}
  Result<const trace::Reader*> get() {
    if (reader_ == nullptr) {
      auto reader = open_();
      if (!reader) return tl::unexpected(reader.error());
      reader_ = std::move(*reader);
    }
    return reader_.get();
  }

 private:
  Loader::Open open_;
  std::unique_ptr<trace::Reader> reader_;
};

struct Schedules {
  explicit Schedules(Loader::Open open) : reader(std::move(open)) {}
  LazyReader reader;
  std::map<int16_t, Result<analyzer::Schedule>> by_device;

  const Result<analyzer::Schedule>& of(int16_t device) {
    const auto known = by_device.find(device);
    if (known != by_device.end()) return known->second;
    return by_device.emplace(device, read(device)).first->second;
  }

  Result<analyzer::Schedule> read(int16_t device) {
    const auto source = reader.get();
    if (!source) return tl::unexpected(source.error());
    const auto series = analyzer::series_in(**source, trace::Space::kDevice, device);
    if (!series) return tl::unexpected(series.error());
    return analyzer::build_schedule(**source, *series);
  }
};

std::shared_ptr<const Forecast> make_forecast(Schedules& schedules, const WhatIfChoice& choice) {
  auto result = std::make_shared<Forecast>();
  const Result<analyzer::Schedule>& schedule = schedules.of(choice.device);
  if (schedule) {
    *result = forecast(*schedule, choice);
  } else {
    result->choice = choice;
    result->error = schedule.error().message;
  }
  return result;
}

Result<analyzer::TechniqueAdvice> find_techniques(LazyReader& reader) {
  const auto source = reader.get();
  if (!source) return tl::unexpected(source.error());
  analyzer::ReportOptions options;
  options.advice = analyzer::AdviceDepth::kAll;
  auto report = analyzer::build_report(**source, options);
  if (!report) return tl::unexpected(report.error());
  if (!report->techniques) return fail("the trace holds nothing to advise on");
  return std::move(*report->techniques);
}

}  // namespace

Questions::Questions(const Loader::Open& open, std::function<Loaded()> loaded,
                     const std::function<void()>& on_answer) {
  details_ = std::make_unique<NewestWorker<DetailsQuestion, Details>>(
      [reader = std::make_shared<LazyReader>(open), loaded](const DetailsQuestion& question) {
        const auto source = reader->get();
        if (!source) return Details(source.error());
        const Loaded pieces = loaded();
        if (pieces.document == nullptr) return Details();
        return find_details(**source, *pieces.document, pieces.activity.get(), pieces.insight.get(),
                            question);
      },
      on_answer);
  advice_ = std::make_unique<NewestWorker<AdviceQuestion, AdviceAnswer>>(
      [schedules = std::make_shared<Schedules>(open)](const AdviceQuestion& question) {
        const Result<analyzer::Schedule>& schedule = schedules->of(question.device);
        return std::make_shared<const Result<analyzer::AdviceList>>(
            schedule ? analyzer::advise(*schedule, question.capacity)
                     : tl::unexpected(schedule.error()));
      },
      on_answer);
  techniques_ = std::make_unique<NewestWorker<bool, TechniquesAnswer>>(
      [reader = std::make_shared<LazyReader>(open)](bool) {
        return std::make_shared<const Result<analyzer::TechniqueAdvice>>(find_techniques(*reader));
      },
      on_answer);
  segments_ = std::make_unique<NewestWorker<SegmentsQuestion, SegmentsAnswer>>(
      [reader = std::make_shared<LazyReader>(open)](const SegmentsQuestion& question) {
        const auto source = reader->get();
        return std::make_shared<const Result<SegmentMap>>(
            source ? segments_at(**source, question.device, question.time_ns)
                   : tl::unexpected(source.error()));
      },
      on_answer);
  search_ = std::make_unique<NewestWorker<SearchText, SearchAnswer>>(
      [reader = std::make_shared<LazyReader>(open), loaded](const SearchText& question) {
        const auto source = reader->get();
        if (!source) return SearchAnswer{{}, 0, 0, source.error().message};
        return viewer::search(**source, loaded().activity.get(), question.text);
      },
      on_answer);
  forecast_ = std::make_unique<NewestWorker<WhatIfChoice, std::shared_ptr<const Forecast>>>(
      [schedules = std::make_shared<Schedules>(open)](const WhatIfChoice& choice) {
        return make_forecast(*schedules, choice);
      },
      on_answer);
}

bool Questions::busy() const {
  return details_->busy() || advice_->busy() || techniques_->busy() || segments_->busy() ||
         search_->busy() || forecast_->busy();
}

void Questions::wait() const {
  details_->wait();
  segments_->wait();
  advice_->wait();
  techniques_->wait();
  search_->wait();
  forecast_->wait();
}

}  // namespace tidemark::viewer
