#include "tidemark/viewer/flame.h"

#include <algorithm>
#include <map>

#include "tidemark/analyzer/stack_view.h"
#include "tidemark/viewer/format.h"

namespace tidemark::viewer {
namespace {

struct Node {
  std::string name;
  bool python = false;
  uint64_t bytes = 0;
  uint64_t count = 0;
  std::map<std::string, size_t> children;  // by name, into the nodes
};

bool worth_showing(const trace::Frame& frame, bool python) {
  const analyzer::FrameRole role = analyzer::role_of(frame);
  if (role == analyzer::FrameRole::kInternal) return false;
  return role != analyzer::FrameRole::kInterpreter || !python;
}

std::string name_of(const trace::Frame& frame) {
  std::string name = frame.function.empty() ? "[" + std::string(base_name(frame.module)) + "]"
                                            : short_function(frame.function);
  if (frame.kind == trace::FrameKind::kPython) name += "  " + frame_place(frame);
  return name;
}

class FlameBuilder {
 public:
  explicit FlameBuilder(const LiveAnswer& answer) {
    nodes_.push_back({"all", false, answer.bytes, answer.count, {}});
    for (const LiveRow& row : answer.rows) add(row);
  }

  std::vector<FlameNode> layout() {
    place(0, 0, 0.0, 1.0, -1);
    return std::move(boxes_);
  }

 private:
  void add(const LiveRow& row) {
    const auto& frames = row.text->frames;
    const bool python = std::any_of(frames.begin(), frames.end(), [](const trace::Frame& frame) {
      return frame.kind == trace::FrameKind::kPython;
    });
    size_t at = 0;
    for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) {
      if (worth_showing(*frame, python)) at = child(at, *frame, row);
    }
    if (at == 0) {  // nothing but allocators, or no stack
      trace::Frame call;
      call.function = row.api.empty() ? "?" : row.api;
      child(0, call, row);
    }
  }

  size_t child(size_t parent, const trace::Frame& frame, const LiveRow& row) {
    const auto [place, fresh] = nodes_[parent].children.try_emplace(name_of(frame), nodes_.size());
    const size_t index = place->second;
    if (fresh) {
      nodes_.push_back({place->first, frame.kind == trace::FrameKind::kPython, 0, 0, {}});
    }
    nodes_[index].bytes += row.bytes;
    nodes_[index].count += row.count;
    return index;
  }

  void place(size_t index, uint32_t depth, double begin, double end, int32_t parent) {
    const auto box = static_cast<int32_t>(boxes_.size());
    const Node& node = nodes_[index];
    boxes_.push_back({node.name, node.bytes, node.count, depth, begin, end, parent, node.python});
    constexpr uint32_t kDeepest = 200;
    if (depth == kDeepest || node.bytes == 0) return;
    std::vector<size_t> children;
    for (const auto& [name, child] : node.children) children.push_back(child);
    std::stable_sort(children.begin(), children.end(),
                     [&](size_t a, size_t b) { return nodes_[a].bytes > nodes_[b].bytes; });
    double x = begin;
    for (const size_t child : children) {
      const double share =
          static_cast<double>(nodes_[child].bytes) / static_cast<double>(node.bytes);
      const double next = std::min(x + (end - begin) * share, end);
      place(child, depth + 1, x, next, box);
      x = next;
    }
  }

  std::vector<Node> nodes_;
  std::vector<FlameNode> boxes_;
};

struct Rect {
  double x, y, width, height;
};

// Lays `areas` (descending, adding up to the rectangle's) out in rows along the shorter side.
std::vector<Rect> squarify(const std::vector<double>& areas, Rect room) {
  std::vector<Rect> boxes;
  size_t i = 0;
  const auto worst = [](double sum, double largest, double smallest, double side) {
    const double square = side * side;
    return std::max(square * largest / (sum * sum), sum * sum / (square * smallest));
  };
  while (i < areas.size()) {
    const double side = std::min(room.width, room.height);
    double sum = areas[i];
    size_t end = i + 1;
    while (end < areas.size() && areas[end] > 0 &&
           worst(sum + areas[end], areas[i], areas[end], side) <=
               worst(sum, areas[i], areas[end - 1], side)) {
      sum += areas[end++];
    }
    const double thick = side > 0 ? sum / side : 0;
    double along = 0;
    for (; i < end; ++i) {
      const double length = thick > 0 ? areas[i] / thick : 0;
      boxes.push_back(room.width >= room.height ? Rect{room.x, room.y + along, thick, length}
                                                : Rect{room.x + along, room.y, length, thick});
      along += length;
    }
    if (room.width >= room.height) {
      room.x += thick;
      room.width = std::max(room.width - thick, 0.0);
    } else {
      room.y += thick;
      room.height = std::max(room.height - thick, 0.0);
    }
  }
  return boxes;
}

}  // namespace

std::vector<FlameNode> flame_graph(const LiveAnswer& answer) {
  if (answer.rows.empty() || answer.bytes == 0) return {};
  return FlameBuilder(answer).layout();
}

uint64_t flame_match_bytes(const std::vector<FlameNode>& nodes, std::string_view words) {
  if (words.empty()) return 0;
  const std::string wanted = lower(words);
  std::vector<char> inside(nodes.size(), 0);
  uint64_t bytes = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {  // parents stand before their children
    const int32_t parent = nodes[i].parent;
    if (parent >= 0 && inside[static_cast<size_t>(parent)] != 0) {
      inside[i] = 1;
    } else if (lower(nodes[i].name).find(wanted) != std::string::npos) {
      inside[i] = 1;
      bytes += nodes[i].bytes;
    }
  }
  return bytes;
}

std::vector<TreeBox> treemap(std::vector<TreeItem> items, double aspect) {
  struct Group {
    uint64_t bytes = 0;
    uint64_t count = 0;
    std::vector<TreeItem> items;
  };
  std::map<std::string, Group> by_name;
  uint64_t all = 0;
  for (TreeItem& item : items) {
    if (item.bytes == 0) continue;
    Group& group = by_name[item.group];
    group.bytes += item.bytes;
    group.count += item.count;
    all += item.bytes;
    group.items.push_back(std::move(item));
  }
  std::vector<std::pair<std::string, Group>> groups(by_name.begin(), by_name.end());
  std::stable_sort(groups.begin(), groups.end(),
                   [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  aspect = aspect > 0 ? aspect : 1.0;
  const auto area = [&](uint64_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(all) * aspect;
  };
  std::vector<TreeBox> boxes;
  if (all == 0) return boxes;
  std::vector<double> areas;
  for (const auto& [name, group] : groups) areas.push_back(area(group.bytes));
  const std::vector<Rect> outer = squarify(areas, {0, 0, aspect, 1});
  const auto add = [&](const std::string& name, uint64_t bytes, uint64_t count, const Rect& rect,
                       int32_t group) {
    boxes.push_back(
        {name, bytes, count, rect.x / aspect, rect.y, rect.width / aspect, rect.height, group});
  };
  for (size_t g = 0; g < groups.size(); ++g) {
    auto& [name, group] = groups[g];
    const auto index = static_cast<int32_t>(boxes.size());
    add(name, group.bytes, group.count, outer[g], -1);
    std::stable_sort(group.items.begin(), group.items.end(),
                     [](const TreeItem& a, const TreeItem& b) { return a.bytes > b.bytes; });
    areas.clear();
    for (const TreeItem& item : group.items) areas.push_back(area(item.bytes));
    const std::vector<Rect> inner = squarify(areas, outer[g]);
    for (size_t i = 0; i < group.items.size(); ++i) {
      const TreeItem& item = group.items[i];
      add(item.name, item.bytes, item.count, inner[i], index);
    }
  }
  return boxes;
}

}  // namespace tidemark::viewer
