#include "peak_rows.h"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>

namespace tidemark::analyzer {
namespace {

// Numbers from 0 in the order in which keys are first asked for.
template <class Key>
class Numbers {
 public:
  // The number, and whether it is new.
  std::pair<int32_t, bool> of(Key key) {
    const auto [found, fresh] = numbers_.try_emplace(key, static_cast<int32_t>(numbers_.size()));
    return {found->second, fresh};
  }

 private:
  std::map<Key, int32_t> numbers_;
};

}  // namespace

PeakRows::Sorted PeakRows::sorted(const Sums& sums) {
  Sorted rows(sums.begin(), sums.end());
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    const auto order = [](const Key& key, const Sum& sum) {
      return std::tuple(std::numeric_limits<uint64_t>::max() - sum.bytes, key.stack, key.line,
                        key.layer, key.category);
    };
    return order(a.first, a.second) < order(b.first, b.second);
  });
  return rows;
}

// The first `keep` as they are; of the others what `forget` leaves of their keys.
PeakRows::Sorted PeakRows::merged(const Sorted& rows, size_t keep, void (*forget)(Key&)) {
  if (rows.size() <= keep) return rows;
  Sums sums;
  for (size_t i = 0; i < rows.size(); ++i) {
    Key key = rows[i].first;
    if (i >= keep) forget(key);
    Sum& sum = sums[key];
    sum.bytes += rows[i].second.bytes;
    sum.count += rows[i].second.count;
  }
  return sorted(sums);
}

PeakDetail PeakRows::take(const trace::Reader& reader, int64_t peak_bytes, size_t most_rows,
                          const std::function<const CodeLine&(int64_t)>& line_of) const {
  constexpr size_t kLinesPerStack = 4;  // rows of lines are smaller: they have no frames
  Sorted rows = merged(sorted(sums_), most_rows, [](Key& key) { key.stack = kNotToldApart; });
  rows = merged(rows, kLinesPerStack * most_rows, [](Key& key) {
    key.stack = kNotToldApart;
    key.line = -1;
  });
  PeakDetail detail;
  Numbers<trace::StackId> stacks;
  Numbers<int64_t> lines;
  auto missing = static_cast<uint64_t>(std::max<int64_t>(peak_bytes, 0));
  for (const auto& [key, sum] : rows) {
    PeakRow row{-1, -1, key.layer, key.category, sum.bytes, sum.count};
    if (key.stack != kNotToldApart) {
      const auto [number, fresh] = stacks.of(key.stack);
      row.stack = number;
      if (fresh) {
        detail.stacks.push_back(
            view_stack(reader.frames(key.stack), std::numeric_limits<size_t>::max()));
      }
    }
    if (key.line >= 0) {
      const auto [number, fresh] = lines.of(key.line);
      row.line = number;
      const CodeLine& line = line_of(key.line);
      if (fresh) detail.lines.push_back({line.name, line.file, line.line});
    }
    missing -= std::min(missing, sum.bytes);
    detail.rows.push_back(row);
  }
  if (missing > 0) detail.rows.push_back({-1, -1, -1, Category::kUnknown, missing, 0});
  return detail;
}

}  // namespace tidemark::analyzer
