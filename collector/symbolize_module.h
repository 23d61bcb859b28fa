// Names the addresses of one file. Touches nothing but that file and its debug file; may run on any
// thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tidemark/trace/types.h"

namespace tidemark::collector {

struct ModuleFile {
  std::string path;
  std::string build_id;  // raw; "" unknown
  auto operator<=>(const ModuleFile&) const = default;
};

enum class ModuleState : uint8_t { kRead, kMissing, kChanged };

struct ModuleFrames {
  ModuleState state = ModuleState::kMissing;
  // For each address its frames, innermost first, at least one.
  std::vector<std::vector<trace::Frame>> frames;
};

// `addresses`: ascending, as in the file, inside the calling instruction.
ModuleFrames symbolize_module(const ModuleFile& module, std::span<const uint64_t> addresses);

}  // namespace tidemark::collector
