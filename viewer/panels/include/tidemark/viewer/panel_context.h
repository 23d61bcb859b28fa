// What every panel is handed in each frame. Panels keep only what is theirs alone (a scroll place,
// a sort order); all that two panels share is in ViewState.
#pragma once

#include <span>

#include "tidemark/viewer/comparison.h"
#include "tidemark/viewer/differences.h"
#include "tidemark/viewer/document.h"
#include "tidemark/viewer/live_worker.h"
#include "tidemark/viewer/questions.h"
#include "tidemark/viewer/style.h"
#include "tidemark/viewer/view_state.h"

namespace tidemark::viewer {

struct PanelContext {
  const Document& document;
  ViewState& state;
  LiveWorker& live;
  const Fonts& fonts;
  // Null until they are loaded; `questions` and `comparison` where there are none.
  const Activity* activity = nullptr;
  const Insight* insight = nullptr;
  Questions* questions = nullptr;
  const Comparison* comparison = nullptr;
  std::string_view working = {};  // said in place of the hints, such as what is being loaded
  // Of the two traces; null where there is one, or until they are found.
  DifferencesAnswer differences = nullptr;
  // Of the whole recording; and the one that all here is of, 0: all of them.
  std::span<const trace::Process> processes = {};
  trace::ProcessId only = {};

  const Palette& colours() const { return palette(state.theme); }
  // The curve to be drawn over a recorded one; null: nothing is changed, or not this series.
  std::shared_ptr<const Forecast> forecast_of(const analyzer::Series& series) const;
};

}  // namespace tidemark::viewer
