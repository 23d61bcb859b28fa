// Units that tests count in.
#pragma once

#include <cstdint>

namespace tidemark {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

}  // namespace tidemark
