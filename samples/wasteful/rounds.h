// What both host twins compute, in rounds.
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

namespace wasteful {

using Numbers = std::vector<double>;

constexpr size_t kRounds = 40;
constexpr size_t kInputs = 200'000;
constexpr size_t kForgotten = 10'000;
constexpr size_t kKept = 40'000;
constexpr size_t kLookups = 5'000;
constexpr size_t kPlaces = 16;
// An index in small blocks, of which few are needed once it is built.
constexpr size_t kIndexBlocks = 4096;
constexpr size_t kIndexNumbers = 512;
constexpr size_t kIndexNeeded = 8;   // one in so many
constexpr size_t kPieceBlocks = 16;  // of those needed that are summed up at once
static_assert(kIndexBlocks % (kIndexNeeded * kPieceBlocks) == 0);
// A recorder looks at pages some 50 times a second at most, and on a busy machine comes late.
constexpr std::chrono::milliseconds kPause{500};
// After each round: what is forgotten again and again is told from what is set up once by how long
// that goes on, beside kPause, and the rounds alone take a twentieth of a second on a quick
// machine.
constexpr std::chrono::milliseconds kRest{5};

inline Numbers squared(const Numbers& numbers) {
  Numbers squares(numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) squares[i] = numbers[i] * numbers[i];
  return squares;
}

inline Numbers running_sums(const Numbers& numbers) {
  Numbers sums(numbers.size());
  double sum = 0;
  for (size_t i = 0; i < numbers.size(); ++i) sums[i] = sum += numbers[i];
  return sums;
}

}  // namespace wasteful
