#include "align.h"

#include <algorithm>

namespace tidemark::analyzer {
namespace {

// Named alike and in order; and with a block in common; and once more for the same operation, which
// is less than a match with another.
constexpr int32_t kNamed = 8;
constexpr int32_t kShared = 6;
constexpr int32_t kOnceMore = 1;

enum class Step : uint8_t { kSkipNode, kSkipOperation, kMatch, kAgain };

// Columns of the table that are looked at for a row: all of them, or, where the table would take
// too much memory, those about the diagonal.
struct Band {
  size_t width;
  size_t columns;
  size_t rows;

  Band(size_t nodes, size_t operations) : columns(operations + 1), rows(nodes + 1) {
    constexpr size_t most_cells = size_t{1} << 26;
    width = std::min(columns, std::max<size_t>(most_cells / rows, 64));
  }
  [[nodiscard]] size_t begin(size_t row) const {
    if (width == columns) return 0;
    const size_t middle = row * (columns - 1) / std::max<size_t>(rows - 1, 1);
    const size_t from = middle > width / 2 ? middle - width / 2 : 0;
    return std::min(from, columns - width);
  }
};

class Table {
 public:
  Table(const Alignable& sequences, Band band)
      : sequences_(sequences), band_(band), steps_(band.rows * band.width, Step::kSkipNode) {}

  std::vector<int32_t> align() {
    std::vector<int32_t> above(band_.columns, 0);
    std::vector<int32_t> row(band_.columns, 0);
    auto pair = sequences_.shared.begin();
    std::vector<char> shared(sequences_.operations.size(), 0);
    for (size_t i = 1; i < band_.rows; ++i) {
      std::fill(shared.begin(), shared.end(), 0);
      for (; pair != sequences_.shared.end() && pair->first < static_cast<int32_t>(i); ++pair) {
        shared[static_cast<size_t>(pair->second)] = 1;
      }
      fill(i, shared, above, row);
      std::swap(above, row);
    }
    return walk_back();
  }

 private:
  // Operations are read from the last to the first: column j stands for the j-th from the end.
  [[nodiscard]] size_t operation(size_t column) const {
    return sequences_.operations.size() - column;
  }
  [[nodiscard]] bool named_alike(size_t node, size_t operation) const {
    const auto& names = sequences_.makes[static_cast<size_t>(sequences_.operations[operation])];
    return std::binary_search(names.begin(), names.end(), sequences_.nodes[node]);
  }
  Step& step(size_t row, size_t column) {
    return steps_[row * band_.width + (column - band_.begin(row))];
  }

  void fill(size_t i, const std::vector<char>& shared, const std::vector<int32_t>& above,
            std::vector<int32_t>& row) {
    const int32_t equals_win = sequences_.first_of_equals ? 1 : 0;
    const bool follows_its_like = i > 1 && sequences_.nodes[i - 1] == sequences_.nodes[i - 2];
    const size_t begin = band_.begin(i);
    const size_t end = begin + band_.width;
    const size_t begin_above = band_.begin(i - 1);
    const size_t end_above = begin_above + band_.width;
    for (size_t j = begin; j < end; ++j) {
      // What lies outside of the row above is not better than its last cell.
      const int32_t over = above[std::min(j, end_above - 1)];
      int32_t best = over;
      Step taken = Step::kSkipNode;
      if (j > begin && row[j - 1] > best) {
        best = row[j - 1];
        taken = Step::kSkipOperation;
      }
      if (j > 0 && named_alike(i - 1, operation(j))) {
        const int32_t bonus = shared[operation(j)] != 0 ? kShared : 0;
        const size_t before = std::min(j - 1, end_above - 1);
        if (before >= begin_above && above[before] + kNamed + bonus + equals_win > best) {
          best = above[before] + kNamed + bonus;
          taken = Step::kMatch;
        }
        if (follows_its_like && over + kOnceMore + bonus > best) {
          best = over + kOnceMore + bonus;
          taken = Step::kAgain;
        }
      }
      row[j] = best;
      step(i, j) = taken;
    }
  }

  std::vector<int32_t> walk_back() {
    std::vector<int32_t> matched(sequences_.nodes.size(), kNoOperation);
    size_t j = band_.columns - 1;
    for (size_t i = band_.rows - 1; i > 0;) {
      const size_t begin = band_.begin(i);
      j = std::clamp(j, begin, begin + band_.width - 1);
      switch (step(i, j)) {
        case Step::kSkipOperation:
          --j;
          break;
        case Step::kMatch:
          matched[--i] = static_cast<int32_t>(operation(j--));
          break;
        case Step::kAgain:
          matched[--i] = static_cast<int32_t>(operation(j));
          break;
        case Step::kSkipNode:
          --i;
          break;
      }
    }
    return matched;
  }

  const Alignable& sequences_;
  Band band_;
  std::vector<Step> steps_;
};

}  // namespace

std::vector<int32_t> align(const Alignable& sequences) {
  if (sequences.nodes.empty() || sequences.operations.empty()) {
    return std::vector<int32_t>(sequences.nodes.size(), kNoOperation);
  }
  return Table(sequences, Band(sequences.nodes.size(), sequences.operations.size())).align();
}

}  // namespace tidemark::analyzer
