// Wastes host memory in every way that Tidemark tells apart on a host, each at one line that it
// prints. cpu_clean.cpp computes the same and wastes nothing.
#include <numeric>

#include "planted.h"
#include "rounds.h"

using namespace wasteful;  // NOLINT: a program of one page

int main() {
  constexpr size_t forgotten_bytes = kRounds * kForgotten * sizeof(double);
  constexpr size_t kept_bytes = kKept * sizeof(double);
  constexpr size_t churned_bytes = kRounds * kLookups * kPlaces * sizeof(double);
  double* history[kRounds];
  double sum = 0;
  for (size_t round = 0; round < kRounds; ++round) {
    Numbers inputs(kInputs);
    std::iota(inputs.begin(), inputs.end(), static_cast<double>(round));
    const Numbers squares = squared(inputs);
    const Numbers sums = running_sums(squares);
    double* forgotten;
    PLANT(leak, forgotten_bytes, forgotten = new double[kForgotten]);
    forgotten[round] = sums.back();
    sum += forgotten[round];
    PLANT(growth, kept_bytes, history[round] = new double[kKept]);
    history[round][0] = sums.back();
    for (size_t i = 0; i < kLookups; ++i) {
      double* places;
      PLANT(churn, churned_bytes, places = new double[kPlaces]);
      places[i % kPlaces] = sums[i];
      sum += places[i % kPlaces];
      delete[] places;
    }
  }
  for (const double* kept : history) sum += kept[0];
  for (const double* kept : history) delete[] kept;
  std::printf("%.17g\n", sum);
  return 0;
}
