// A small generator whose figures are the same with every compiler and library (xorshift64*).
#pragma once

#include <cmath>
#include <cstdint>

namespace cpu_trainer {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15U + 0x632BE59BD9B4E019U) {
    if (state_ == 0) state_ = 1;
  }

  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1DU;
  }
  uint64_t below(uint64_t limit) { return (next() >> 11) % limit; }
  double uniform() { return static_cast<double>(next() >> 11) / 9007199254740992.0; }  // [0, 1)
  float normal() {  // Box–Muller
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return static_cast<float>(radius * std::cos(6.283185307179586 * uniform()));
  }

 private:
  uint64_t state_;
};

}  // namespace cpu_trainer
