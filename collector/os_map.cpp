#include "os_map.h"

namespace tidemark::collector {

void OsMap::cut(uint64_t start, uint64_t end, std::vector<Mapping>& removed,
                std::vector<Mapping>& pieces) {
  if (start >= end) return;
  auto it = by_start_.lower_bound(start);
  if (it != by_start_.begin()) {
    auto before = std::prev(it);
    if (before->second.end > start) it = before;
  }
  while (it != by_start_.end() && it->first < end) {
    const Mapping whole = it->second;
    it = by_start_.erase(it);
    removed.push_back(whole);
    if (whole.start < start) {
      pieces.push_back({whole.start, start, {}, whole.thread, whole.stack, 0});
    }
    if (whole.end > end) pieces.push_back({end, whole.end, {}, whole.thread, whole.stack, 0});
  }
}

}  // namespace tidemark::collector
