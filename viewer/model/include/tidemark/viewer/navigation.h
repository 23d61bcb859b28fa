// Going from one thing to the next on the timeline. Pure changes of the view state.
#pragma once

#include <optional>

#include "tidemark/analyzer/findings.h"
#include "tidemark/viewer/activity.h"
#include "tidemark/viewer/view_state.h"

namespace tidemark::viewer {

// When the chosen block lives or the chosen operation runs; none: nothing is chosen, or not loaded.
std::optional<TimeRange> chosen_span(const ViewState& state, const Activity* activity);

// To the neighbour of what is chosen: of an operation in its stream, of a block the next one born
// in its series; where nothing is chosen, to the next change of the selected series. The span
// follows.
void step(ViewState& state, const Document& document, const Activity* activity, bool forward);

// Chooses, moves the cursor there, and shows it.
void jump_to(ViewState& state, const Choice& choice, int64_t begin_ns, int64_t end_ns);

// To what weighs most in a finding: chooses its block, or its copy, and shows the time of waste.
// Where no single one stands for it: the peak of its series.
void show_finding(ViewState& state, const Document& document, const Activity* activity,
                  const analyzer::Finding& finding);

}  // namespace tidemark::viewer
