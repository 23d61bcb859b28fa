// Wastes host memory in every way that Tidemark tells apart on a host, each at one line that it
// prints. cpu_clean.cpp computes the same and wastes nothing.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <numeric>
#include <thread>

#include "planted.h"
#include "rounds.h"

using namespace wasteful;  // NOLINT: a program of one page

// What no call of a library asks for: nobody can tell which line did.
static void* mapped_by_the_kernel(size_t bytes) {
  planted("unexplained", "", 0, bytes);
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): a system call
  const long address =
      syscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return address == -1 ? nullptr : reinterpret_cast<void*>(address);
}

int main() {
  constexpr size_t unseen_bytes = 16 * kMiB;
  void* const unseen = mapped_by_the_kernel(unseen_bytes);
  if (unseen == nullptr) return 1;
  std::memset(unseen, 1, unseen_bytes);
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
    std::this_thread::sleep_for(kRest);
  }
  for (const double* kept : history) sum += kept[0];
  for (const double* kept : history) delete[] kept;
  constexpr size_t spare_bytes =
      kIndexBlocks * (kIndexNeeded - 1) / kIndexNeeded * kIndexNumbers * sizeof(double);
  static double* index[kIndexBlocks];
  for (size_t i = 0; i < kIndexBlocks; ++i) {
    PLANT(host_spare, spare_bytes, index[i] = new double[kIndexNumbers]);
    std::iota(index[i], index[i] + kIndexNumbers, static_cast<double>(i));
  }
  for (size_t i = 0; i < kIndexBlocks; ++i) {
    if (i % kIndexNeeded != 0) delete[] index[i];
  }
  // In pieces larger than the gaps, smaller than what malloc maps by itself: more is resident than
  // ever before, and the recorder, which looks at pages where most are resident, looks once more,
  // whenever it did last.
  std::vector<Numbers> totals;
  for (size_t i = 0; i < kIndexBlocks;) {
    Numbers needed;
    needed.reserve(kPieceBlocks * kIndexNumbers);
    for (size_t k = 0; k < kPieceBlocks; ++k, i += kIndexNeeded) {
      needed.insert(needed.end(), index[i], index[i] + kIndexNumbers);
    }
    totals.push_back(running_sums(needed));
  }
  // Meanwhile nothing gives back what malloc keeps.
  std::this_thread::sleep_for(kPause);
  for (const Numbers& piece : totals) sum += piece.back();
  for (size_t i = 0; i < kIndexBlocks; i += kIndexNeeded) delete[] index[i];
  std::printf("%.17g\n", sum);
  return 0;
}
