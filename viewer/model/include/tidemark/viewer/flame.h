// What is live at one moment as a flame graph (by call stack, callers below) and as a treemap (by
// what the bytes are, then by call stack). Pure layout: boxes in a unit square, made once for each
// answer.
#pragma once

#include <string>
#include <vector>

#include "tidemark/viewer/insight.h"
#include "tidemark/viewer/live_table.h"

namespace tidemark::viewer {

struct FlameNode {
  std::string name;
  uint64_t bytes = 0;
  uint64_t count = 0;
  uint32_t depth = 0;  // 0: the root, which is everything
  double begin = 0;    // of 0 to 1
  double end = 0;
  int32_t parent = -1;
  bool python = false;
};

// Depth first, heavier siblings first; none for an answer without rows. Frames of allocators and of
// the interpreter are left out where Python frames say the same.
std::vector<FlameNode> flame_graph(const LiveAnswer& answer);
// Those whose name holds `words` (any case), and their bytes without counting any twice.
uint64_t flame_match_bytes(const std::vector<FlameNode>& nodes, std::string_view words);

struct TreeBox {
  std::string name;
  uint64_t bytes = 0;
  uint64_t count = 0;
  double x = 0;  // in a unit square
  double y = 0;
  double width = 0;
  double height = 0;
  int32_t group = -1;  // box of the outer level; -1: this is one
};

struct TreeItem {
  std::string group;
  std::string name;
  uint64_t bytes = 0;
  uint64_t count = 0;
};

// "Squarified": boxes as near to squares as they can be in a picture `aspect` times as wide as it
// is high. Groups first, each followed by what lies in it; the sum of the boxes is the whole.
std::vector<TreeBox> treemap(std::vector<TreeItem> items, double aspect);

}  // namespace tidemark::viewer
