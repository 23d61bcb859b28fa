// Of what was clicked: a block (what it is, where it was allocated and freed, which kernels touched
// it, its neighbours), a kernel or copy (the blocks it worked on), or a range of time (what was
// born, died, grew in it).
#pragma once

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

class DetailsPanel {
 public:
  // Into the current window, filling it.
  void draw(const PanelContext& context);

 private:
  void draw_block(const PanelContext& context, const BlockDetails& details) const;
  void draw_facts(const PanelContext& context, const BlockDetails& details) const;
  void draw_uses(const PanelContext& context, const BlockDetails& details) const;
  void draw_operation(const PanelContext& context, const OperationDetails& details) const;
  void draw_range(const PanelContext& context, const RangeDetails& details) const;

  std::shared_ptr<const NewestWorker<DetailsQuestion, Details>::Answered> shown_;
};

}  // namespace tidemark::viewer
