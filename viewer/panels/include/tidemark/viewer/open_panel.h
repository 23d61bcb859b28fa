// Chooses another trace: a path, one of those looked at last, or one of the current folder. Files
// can also be dropped onto the window.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/viewer/palette.h"
#include "tidemark/viewer/style.h"

namespace tidemark::viewer {

class OpenPanel {
 public:
  void open(std::vector<std::string> recent, std::vector<std::string> here);
  bool is_open() const { return open_; }
  // Over the whole display. Returns the path that was chosen, once.
  std::optional<std::string> draw(const Fonts& fonts, Theme theme);

 private:
  bool open_ = false;
  bool focus_ = false;
  std::array<char, 4096> path_{};
  std::vector<std::string> recent_;
  std::vector<std::string> here_;
};

}  // namespace tidemark::viewer
