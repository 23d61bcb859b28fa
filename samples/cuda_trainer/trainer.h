// Trains a perceptron with two hidden layers on the first GPU, and counts every CUDA call it makes.
#pragma once

#include <cstdint>
#include <string>

#include "ledger.h"

namespace cuda_trainer {

struct Options {
  int steps = 60;
  int batch = 256;
  int width = 512;
  uint64_t seed = 1;
};

// True when the machine has a GPU that CUDA can use; otherwise why_not says what CUDA said.
bool gpu_present(Ledger& ledger, std::string& why_not);

// True when the loss fell. Throws std::runtime_error when a CUDA call fails.
bool train(const Options& options, Ledger& ledger);

}  // namespace cuda_trainer
