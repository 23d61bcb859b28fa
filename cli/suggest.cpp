#include "suggest.h"

#include <algorithm>

namespace tidemark::cli {
namespace {

// Insertions, deletions, replacements, and swaps of neighbours (the commonest slip of all).
size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

std::string nearest(std::string_view typed, const std::vector<std::string>& names) {
  constexpr size_t longest = 64;  // nothing that long was meant to be a name
  std::string best;
  size_t best_distance = std::max<size_t>(1, typed.size() / 3) + 1;
  if (typed.size() > longest) return best;
  for (const std::string& name : names) {
    const size_t now = distance(typed, name);
    if (now < best_distance) {
      best = name;
      best_distance = now;
    }
  }
  return best;
}

}  // namespace tidemark::cli
