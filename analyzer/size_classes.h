// How many blocks there are of each size, by powers of two. Private to the analyzer. Sizes: bytes.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

namespace tidemark::analyzer {

class SizeClasses {
 public:
  void add(uint64_t size) { ++counts_[std::bit_width(size)]; }
  // The smallest size at which at most so many blocks are left; 0: all are.
  uint64_t smallest_for(uint64_t most) const {
    uint64_t sum = 0;
    for (size_t bits = counts_.size(); bits-- > 0;) {
      sum += counts_[bits];
      if (sum > most)
        return bits >= 64 ? std::numeric_limits<uint64_t>::max() : uint64_t{1} << bits;
    }
    return 0;
  }

 private:
  std::array<uint64_t, 65> counts_{};
};

}  // namespace tidemark::analyzer
