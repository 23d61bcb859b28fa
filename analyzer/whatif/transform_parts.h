// What several transforms share.
#pragma once

#include <cmath>

#include "tidemark/analyzer/transforms.h"

namespace tidemark::analyzer {

inline uint64_t scaled(uint64_t bytes, double factor) {
  return static_cast<uint64_t>(std::ceil(static_cast<double>(bytes) * factor));
}

inline Result<void> need_steps(const Schedule& schedule, const char* what) {
  if (!schedule.iterations.empty()) return {};
  return fail(std::string(what) +
              " needs training steps (forward, backward, optimizer), and the trace shows none; "
              "record with --stacks=all");
}

// A block of a transform's own that stands beside another.
ScheduledBlock beside(const ScheduledBlock& block, uint64_t bytes, int64_t begin, int64_t end);

// A loss in full precision gives its gradient in it, which is then copied to the logits'
// precision: the block becomes the copy (its size is left to the caller), and the gradient itself
// is returned.
ScheduledBlock full_gradient_of_logits(Schedule& schedule, size_t block);

// Summing full floats over the rows of a matrix takes a scratch twice as large as the matrix;
// summing 16-bit floats takes none (recorded on an H100, PyTorch 2.11).
bool is_reduction_scratch(const Schedule& schedule, size_t block);

}  // namespace tidemark::analyzer
