// Sliders and switches for another batch, precision, optimizer, checkpoints, accumulation,
// allocator and card: the predicted peak beside the recorded one, whether it fits, and what is
// assumed; and what to change so that it fits. The predicted curve is drawn over the recorded one
// by the timeline.
#pragma once

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

class WhatIfPanel {
 public:
  // Into the current window, filling it.
  void draw(const PanelContext& context);
  const WhatIfChoice& choice() const { return choice_; }
  void set_batch(double factor);
  // Sliders and switches follow.
  void set(const WhatIfChoice& choice);
  // Into known_cards(); -1: the one that was recorded.
  void choose_card(int index) { card_ = index; }
  // The same as set(), and asks for its curve at once, drawn or not.
  void preview(const PanelContext& context, const WhatIfChoice& choice);
  std::shared_ptr<const Forecast> shown() const { return shown_; }
  // Screen rectangle of the batch slider, as drawn last.
  ImVec2 batch_min() const { return batch_min_; }
  ImVec2 batch_max() const { return batch_max_; }

 private:
  void draw_controls(const PanelContext& context, bool wide);
  void draw_sizes(const PanelContext& context);
  void draw_training();
  void draw_weights();
  void draw_devices(const PanelContext& context);
  void ask(const PanelContext& context);
  void draw_outcome(const PanelContext& context) const;
  int64_t capacity(const PanelContext& context) const;

  WhatIfChoice choice_;
  float batch_log2_ = 0;  // the sliders' own scale
  float sequence_log2_ = 0;
  int allocator_ = 0;
  int card_ = -1;
  std::shared_ptr<const Forecast> shown_;
  ImVec2 batch_min_{0, 0};
  ImVec2 batch_max_{0, 0};
};

}  // namespace tidemark::viewer
