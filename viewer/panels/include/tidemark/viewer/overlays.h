// What lies over everything for a moment: the help, and the command palette, which finds every
// command by a few letters.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "tidemark/viewer/panel_context.h"

namespace tidemark::viewer {

struct Command {
  std::string name;
  std::string keys;  // "": none
  std::function<void()> run;
};

// Positions of the commands whose name has these letters in this order, the tightest first.
std::vector<size_t> match_commands(const std::vector<Command>& commands, std::string_view letters);

class CommandPalette {
 public:
  void open();
  bool is_open() const { return open_; }
  // Over the whole display; runs the command that was chosen.
  void draw(const PanelContext& context, const std::vector<Command>& commands);

 private:
  bool open_ = false;
  bool focus_ = false;
  size_t selected_ = 0;
  std::array<char, 128> letters_{};
};

void draw_help(const PanelContext& context, bool* open);

}  // namespace tidemark::viewer
