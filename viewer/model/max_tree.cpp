#include "tidemark/viewer/max_tree.h"

#include <algorithm>
#include <utility>

namespace tidemark::viewer {

MaxTree::MaxTree(std::vector<uint64_t> values) {
  if (values.empty()) return;
  levels_.push_back(std::move(values));
  while (levels_.back().size() > kFan) {
    const std::vector<uint64_t>& below = levels_.back();
    std::vector<uint64_t> level;
    level.reserve((below.size() + kFan - 1) / kFan);
    for (size_t i = 0; i < below.size(); i += kFan) {
      const auto begin = below.begin() + static_cast<std::ptrdiff_t>(i);
      const auto count = static_cast<std::ptrdiff_t>(std::min(kFan, below.size() - i));
      level.push_back(*std::max_element(begin, begin + count));
    }
    levels_.push_back(std::move(level));
  }
}

template <class Visit>
void MaxTree::cover(size_t first, size_t last, Visit visit) const {
  last = std::min(last, size());
  for (size_t level = 0; first < last; ++level) {
    const bool top = level + 1 == levels_.size();
    while (first < last && (top || first % kFan != 0)) visit(level, first++);
    while (first < last && last % kFan != 0) visit(level, --last);
    first /= kFan;
    last /= kFan;
  }
}

size_t MaxTree::largest(size_t first, size_t last) const {
  size_t best_level = 0;
  size_t best = last;
  uint64_t most = 0;
  cover(first, last, [&](size_t level, size_t index) {
    const uint64_t value = levels_[level][index];
    // Of equal ones the first in time, whatever their level.
    const auto start = [](size_t at, size_t up) {
      for (; up > 0; --up) at *= kFan;
      return at;
    };
    if (best == last || value > most ||
        (value == most && start(index, level) < start(best, best_level))) {
      most = value;
      best = index;
      best_level = level;
    }
  });
  if (best == last) return last;
  while (best_level > 0) {
    --best_level;
    best *= kFan;
    while (levels_[best_level][best] != most) ++best;
  }
  return best;
}

void MaxTree::Descent::add(const MaxTree& tree, size_t first, size_t last, uint32_t key) {
  tree.cover(first, last, [&](size_t level, size_t index) {
    nodes_.push({tree.levels_[level][index], &tree, key, static_cast<uint32_t>(level), index});
  });
}

bool MaxTree::Descent::next(Place* place) {
  while (!nodes_.empty()) {
    const Node node = nodes_.top();
    nodes_.pop();
    if (node.level == 0) {
      *place = {node.key, node.index};
      return true;
    }
    const std::vector<uint64_t>& below = node.tree->levels_[node.level - 1];
    const size_t end = std::min((node.index + 1) * kFan, below.size());
    for (size_t i = node.index * kFan; i < end; ++i) {
      nodes_.push({below[i], node.tree, node.key, node.level - 1, i});
    }
  }
  return false;
}

}  // namespace tidemark::viewer
