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

}  // namespace tidemark::analyzer
