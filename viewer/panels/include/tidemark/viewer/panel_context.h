// What every panel is handed in each frame. Panels keep only what is theirs alone (a scroll place,
// a sort order); all that two panels share is in ViewState.
#pragma once

#include "tidemark/viewer/document.h"
#include "tidemark/viewer/live_worker.h"
#include "tidemark/viewer/style.h"
#include "tidemark/viewer/view_state.h"

namespace tidemark::viewer {

struct PanelContext {
  const Document& document;
  ViewState& state;
  LiveWorker& live;
  const Fonts& fonts;

  const Palette& colours() const { return palette(state.theme); }
};

}  // namespace tidemark::viewer
