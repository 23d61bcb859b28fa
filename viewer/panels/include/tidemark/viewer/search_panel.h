// A line to type into and what it finds: blocks by function, size or address, kernels by name. A
// click goes there.
#pragma once

#include <array>
#include <string>

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

class SearchPanel {
 public:
  // Into the current window, filling it.
  void draw(const PanelContext& context);
  void focus() { focus_ = true; }
  void look_for(const std::string& text);
  std::shared_ptr<const NewestWorker<Questions::SearchText, SearchAnswer>::Answered> shown() const {
    return shown_;
  }

 private:
  void draw_hits(const PanelContext& context, const SearchAnswer& answer) const;

  std::array<char, 256> text_{};
  bool focus_ = false;
  int generation_ = 0;
  std::shared_ptr<const NewestWorker<Questions::SearchText, SearchAnswer>::Answered> shown_;
};

}  // namespace tidemark::viewer
