// Computes what cpu_wasteful.cpp does and wastes nothing: of a round only a number is kept, nothing
// is forgotten, and what a lookup needs lies on the stack.
#include <array>
#include <numeric>
#include <thread>

#include "planted.h"
#include "rounds.h"

using namespace wasteful;  // NOLINT: a program of one page

int main() {
  double total = 0;
  for (size_t i = 0; i < kIndexBlocks; i += kIndexNeeded) {
    for (size_t k = 0; k < kIndexNumbers; ++k) total += static_cast<double>(i + k);
  }
  std::array<double, kRounds> history{};
  double sum = 0;
  for (size_t round = 0; round < kRounds; ++round) {
    Numbers inputs(kInputs);
    std::iota(inputs.begin(), inputs.end(), static_cast<double>(round));
    const Numbers squares = squared(inputs);
    const Numbers sums = running_sums(squares);
    sum += sums.back();
    history[round] = sums.back();
    for (size_t i = 0; i < kLookups; ++i) {
      std::array<double, kPlaces> places{};
      places[i % kPlaces] = sums[i];
      sum += places[i % kPlaces];
    }
    std::this_thread::sleep_for(kRest);
  }
  for (const double kept : history) sum += kept;
  sum += total;
  std::printf("%.17g\n", sum);
  return 0;
}
