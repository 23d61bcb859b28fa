// Which operation of forward each node of a backward pass belongs to, by names, order and what both
// had in hand. Private to the analyzer. Pure and deterministic.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tidemark::analyzer {

inline constexpr int32_t kNoOperation = -1;

// Names of nodes, and of operations what node each could make, as numbers of the caller's.
struct Alignable {
  std::span<const int32_t> nodes;  // in the order in which they ran
  // In the order in which they ran, which is the reverse; each a list of names of nodes that it may
  // have made, into `makes`.
  std::span<const int32_t> operations;
  std::span<const std::vector<int32_t>> makes;  // by name of an operation, ascending
  // Pairs (node, operation) that had a block in hand that few others had; ascending, no duplicates.
  std::span<const std::pair<int32_t, int32_t>> shared;
  // Of operations between which nothing decides. Else the last.
  bool first_of_equals = false;
};

// Of each node its operation, or kNoOperation. Never crosses: of two nodes the later one's
// operation is the same or an earlier one. The same operation only for nodes that follow each
// other: some operations are seen as one where they run in a loop on one line.
std::vector<int32_t> align(const Alignable& sequences);

}  // namespace tidemark::analyzer
