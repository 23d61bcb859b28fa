// What is known of each block of a series before it is judged. Private to the analyzer. Pure.
#pragma once

#include <optional>
#include <vector>

#include "role_cache.h"
#include "tidemark/analyzer/categories.h"

namespace tidemark::analyzer {

struct BlockFacts {
  trace::AllocationId id{};
  int64_t alloc_ns = 0;
  int64_t end_ns = 0;
  uint64_t size = 0;
  const StackRole* role = nullptr;
  std::optional<Category> named;  // what names of functions on its stack suggest
  bool code = false;              // on the device
  uint8_t phases_used = 0;        // by kernels of iterations, a bit a phase
  bool used_by_kernel = false;
  bool copied_first = false;   // its first use is a copy from the host
  uint32_t inputs_copied = 0;  // iterations in which it was the target of a copy from the host
  int32_t last_copied = -1;    // the last of these
  uint32_t copied_to = 0;      // any copies
  uint32_t copied_from = 0;
  int64_t first_use_ns = trace::kNever;

  bool used(Phase phase) const { return (phases_used >> static_cast<unsigned>(phase) & 1) != 0; }
};

struct BlockFactsTable {
  std::vector<BlockFacts> blocks;  // ascending by id
  bool accesses_known = false;     // kernels told what they were handed

  // Keeps pointers to roles.
  [[nodiscard]] static Result<BlockFactsTable> build(const trace::Reader& reader,
                                                     const Structure& structure,
                                                     const Series& series,
                                                     const trace::AllocationFilter& filter,
                                                     RoleCache& roles);
  BlockFacts* find(trace::AllocationId id);
};

}  // namespace tidemark::analyzer
