// Which line of forward each block of the backward pass belongs to. PyTorch runs backward on
// threads of its own, where no Python stack says whose gradient is computed; but the engine runs
// the nodes of the graph in the reverse of the order in which forward made them, each node is named
// after the operation that made it, and its kernels are handed what that operation saved for it:
//
//   forward   embedding   linear    gelu      linear     loss         operations, by their stacks
//                |          |         |          |         |
//   backward  Embedding… Addmm…    Gelu…      Addmm…    NllLoss…      nodes, read from right to
//   left
//
// The two sequences are aligned; a node that no operation in the trace stands for (a view leaves
// none) lies between its neighbours. Recomputed operations (checkpointing) and custom functions in
// Python have frames of their own, and need none of this.
//
// Pure: reads through trace::Reader; keeps nothing of it. Any thread that owns the Reader. Cost: a
// pass over the allocations, kernels and accesses, and the alignment of each pass that is unlike
// those before it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tidemark/analyzer/structure.h"

namespace tidemark::analyzer {

enum class BackwardEvidence : uint8_t {
  kNeighbours,  // between the operations that its neighbours belong to: a guess
  kOrder,       // name and order: likely
  kSavedBlock,  // and its kernels are handed blocks that the operation had in hand: sure
};
const char* to_string(BackwardEvidence evidence);  // neighbours order saved_block

struct BackwardOrigin {
  trace::AllocationId id{};
  trace::StackId forward{};             // of the operation
  trace::AllocationId forward_block{};  // the first that it asked for; 0: none, or not known
  uint32_t skipped = 0;                 // innermost frames of it that say more than is known
  int32_t node = 0;                     // into BackwardOrigins::nodes
  BackwardEvidence evidence{};

  [[nodiscard]] Sureness sureness() const;
  // Innermost first.
  [[nodiscard]] std::span<const trace::Frame> frames(const trace::Reader& reader) const;
};

struct BackwardOrigins {
  std::vector<BackwardOrigin> blocks;  // ascending by id
  std::vector<std::string> nodes;      // "AddmmBackward0"
  uint64_t unknown_blocks = 0;         // of backward, of which nothing is known
  uint64_t unknown_bytes = 0;

  [[nodiscard]] const BackwardOrigin* find(trace::AllocationId id) const;  // nullptr: not known
};

// Of every block of the series that the backward pass asked for. Of the host only blocks of a page
// or more are looked at.
[[nodiscard]] Result<BackwardOrigins> find_backward_origins(const trace::Reader& reader,
                                                            const Series& series);

}  // namespace tidemark::analyzer
