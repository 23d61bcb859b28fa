// What panels ask that takes longer than a frame: details of a choice, the segments of a pool, a
// search, a forecast, advice. Each kind of question has a thread and a Reader of its own. For the
// thread that draws; `on_answer` is called from the workers' threads and may only wake it.
#pragma once

#include <memory>

#include "tidemark/analyzer/advise.h"
#include "tidemark/analyzer/techniques.h"
#include "tidemark/viewer/details.h"
#include "tidemark/viewer/forecast.h"
#include "tidemark/viewer/loader.h"
#include "tidemark/viewer/newest_worker.h"
#include "tidemark/viewer/search.h"
#include "tidemark/viewer/segments.h"

namespace tidemark::viewer {

class Questions {
 public:
  // `loaded`: the pieces that are there; called from the workers' threads.
  Questions(const Loader::Open& open, std::function<Loaded()> loaded,
            const std::function<void()>& on_answer = {});

  struct SearchText {
    std::string text;
    bool with_kernels = false;  // once they are loaded
    bool operator==(const SearchText&) const = default;
  };
  struct SegmentsQuestion {
    int16_t device = 0;
    int64_t time_ns = 0;
    bool operator==(const SegmentsQuestion&) const = default;
  };
  using SegmentsAnswer = std::shared_ptr<const Result<SegmentMap>>;
  NewestWorker<SegmentsQuestion, SegmentsAnswer>& segments() { return *segments_; }
  struct AdviceQuestion {
    int16_t device = 0;
    uint64_t capacity = 0;
    bool operator==(const AdviceQuestion&) const = default;
  };
  using AdviceAnswer = std::shared_ptr<const Result<analyzer::AdviceList>>;
  NewestWorker<AdviceQuestion, AdviceAnswer>& advice() { return *advice_; }
  // What `report --advice` says; asked once.
  using TechniquesAnswer = std::shared_ptr<const Result<analyzer::TechniqueAdvice>>;
  NewestWorker<bool, TechniquesAnswer>& techniques() { return *techniques_; }
  NewestWorker<DetailsQuestion, Details>& details() { return *details_; }
  NewestWorker<SearchText, SearchAnswer>& search() { return *search_; }
  NewestWorker<WhatIfChoice, std::shared_ptr<const Forecast>>& forecast() { return *forecast_; }
  bool busy() const;
  void wait() const;

 private:
  std::unique_ptr<NewestWorker<AdviceQuestion, AdviceAnswer>> advice_;
  std::unique_ptr<NewestWorker<bool, TechniquesAnswer>> techniques_;
  std::unique_ptr<NewestWorker<SegmentsQuestion, SegmentsAnswer>> segments_;
  std::unique_ptr<NewestWorker<DetailsQuestion, Details>> details_;
  std::unique_ptr<NewestWorker<SearchText, SearchAnswer>> search_;
  std::unique_ptr<NewestWorker<WhatIfChoice, std::shared_ptr<const Forecast>>> forecast_;
};

}  // namespace tidemark::viewer
